package mailbox

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"wirefleet.dev/wire/internal/home"
)

// Stray are the outbox files of a session with lines that no push will ever send, sorted: under a peer's full
// address, and under a handle that nobody is pinned as (field-failures E3). What was sent before the pin went
// is no such line.
func Stray(s home.Session) ([]string, error) {
	entries, err := os.ReadDir(s.OutboxDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	var relay *home.RelayFile
	var sent *sentFile
	for _, e := range entries {
		stem, ok := strings.CutSuffix(e.Name(), ".jsonl")
		info, err := e.Info()
		if !ok || e.IsDir() || err != nil || info.Size() == 0 || strings.HasSuffix(stem, ".pushed") { // 0.16 notes there what it sent
			continue
		}
		if !strings.Contains(stem, "@") {
			if relay == nil {
				if relay, err = s.ReadRelay(); err != nil {
					return nil, err
				}
			}
			if _, pinned := relay.PeerRaw(stem); pinned {
				continue
			}
			if sent == nil {
				if sent, err = readSent(s.SentFile()); err != nil {
					return nil, err
				}
			}
			if p, known := sent.get(stem); known && p.offset >= info.Size() {
				continue
			}
		}
		out = append(out, e.Name())
	}
	return out, nil
}

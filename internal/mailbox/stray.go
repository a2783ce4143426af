package mailbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/home"
)

// Stray are the outbox files of a session with lines that no push will ever send, sorted: under a peer's full
// address, and under a handle that nobody is pinned as (field-failures E3). What was sent before the pin went
// is no such line.
func Stray(s home.Session) ([]string, error) {
	names, err := s.OutboxFiles()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	relay, err := s.ReadRelay()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range names {
		stem, ok := strings.CutSuffix(name, ".jsonl")
		_, pinned := relay.PeerRaw(stem)
		if !ok || pinned || strings.HasSuffix(stem, ".pushed") { // 0.16 notes there what it sent
			continue
		}
		info, err := os.Lstat(filepath.Join(s.OutboxDir(), name))
		if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
			continue
		}
		sent, err := readSent(s.SentFile())
		if err != nil {
			return nil, err
		}
		if p, known := sent.get(stem); !known || p.offset < info.Size() {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

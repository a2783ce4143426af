package home

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/identity"
)

// Session is one WIRE_HOME: CFG, ST and what is in them. The zero value is no session.
type Session struct {
	Name string // directory name under Root; "" outside a sessions root
	Dir  string // its WIRE_HOME; "" for the default home without one
	cfg  string
	st   string
}

// At is the session whose WIRE_HOME is dir. It has a Name if dir is directly below a directory called
// "sessions".
func At(dir string) Session {
	s := Session{Dir: dir, cfg: join(dir, "config", "wire"), st: join(dir, "state", "wire")}
	if dir == "" {
		s.Dir = "." // set but empty is the working directory, and still a WIRE_HOME
	}
	if filepath.Base(filepath.Dir(filepath.Clean(s.Dir))) == "sessions" {
		s.Name = filepath.Base(s.Dir)
	}
	return s
}

// Abs is the session with absolute paths, for what outlives the working directory: processes and records.
func (s Session) Abs(e Env) (Session, error) {
	var err error
	if s.Dir != "" {
		if s.Dir, err = e.abs(s.Dir); err != nil {
			return Session{}, err
		}
	}
	if s.cfg, err = e.abs(s.cfg); err != nil {
		return Session{}, err
	}
	if s.st, err = e.abs(s.st); err != nil {
		return Session{}, err
	}
	return s, nil
}

// Paths that other rooms open, lock or watch.
func (s Session) ConfigDir() string  { return s.cfg } // CFG
func (s Session) StateDir() string   { return s.st }  // ST
func (s Session) InboxDir() string   { return join(s.st, "inbox") }
func (s Session) OutboxDir() string  { return join(s.st, "outbox") }
func (s Session) DaemonPID() string  { return join(s.st, "daemon.pid") }  // wire-daemon-pid-v1
func (s Session) DaemonLife() string { return join(s.st, "daemon.lock") } // life lock, ours
func (s Session) DaemonLog() string  { return join(s.st, "daemon.log") }
func (s Session) DaemonPoke() string { return join(s.st, "daemon.poke") } // pipe, ours (design.md 7)
func (s Session) NotifyPID() string  { return join(s.st, "notify.pid") }
func (s Session) NotifyLife() string { return join(s.st, "notify.lock") }      // life lock, ours
func (s Session) NotifyLog() string  { return join(s.st, "notify.log") }       // ours
func (s Session) PullLock() string   { return join(s.st, "pull.lock") }        // ours
func (s Session) PushLock() string   { return join(s.st, "push.lock") }        // ours
func (s Session) SentFile() string   { return join(s.st, "outbox-sent.json") } // ours
func (s Session) InboxRead() string  { return join(s.st, "inbox-read.json") }  // ours
func (s Session) Quarantine() string { return join(s.st, "quarantine.jsonl") } // ours
func (s Session) Managed() string    { return join(s.st, "managed.json") }     // ours
func (s Session) PolicyFile() string { return join(s.cfg, "policy.json") }
func (s Session) Rejections() string { return join(s.st, "pair-rejected.jsonl") }
func (s Session) Invites() string    { return join(s.st, "pending-invites") }       // directory
func (s Session) Inbound() string    { return join(s.st, "pending-inbound-pairs") } // directory
func (s Session) Detached() string   { return join(s.st, "pending-pair") }          // directory

func (s Session) notifiedFile() string { return join(s.st, "notify-requests.json") } // ours

// Further files of the reference below ST (section 3).
func (s Session) NotifyCursor() string    { return join(s.st, "notify.cursor") }
func (s Session) ReactorCursor() string   { return join(s.st, "reactor.cursor") }
func (s Session) ReactorEmitted() string  { return join(s.st, "reactor-emitted.log") }
func (s Session) MeshRouteCursor() string { return join(s.st, "mesh-route-cursor.json") }
func (s Session) DiagEnabled() string     { return join(s.st, "diag.enabled") }
func (s Session) Diag() string            { return join(s.st, "diag.jsonl") }

// KeyFile, CardFile, TrustFile and RelayFile are what ConfigDir holds, for watches and for error texts;
// their content is read and written by this package alone.
func (s Session) KeyFile() string   { return join(s.cfg, "private.key") }
func (s Session) CardFile() string  { return join(s.cfg, "agent-card.json") }
func (s Session) TrustFile() string { return join(s.cfg, "trust.json") }
func (s Session) RelayFile() string { return join(s.cfg, "relay.json") }

func (s Session) relayLock() string { return join(s.cfg, "relay.lock") }
func (s Session) routeLock() string { return join(s.st, "mesh-route.lock") } // ours

// Inbox and Outbox are the files of one peer; a handle that CheckHandle refuses is an error.
func (s Session) Inbox(handle string) (string, error)  { return peerFile(s.InboxDir(), handle) }
func (s Session) Outbox(handle string) (string, error) { return peerFile(s.OutboxDir(), handle) }

func peerFile(dir, handle string) (string, error) {
	if err := identity.CheckHandle(handle); err != nil {
		return "", err
	}
	return join(dir, handle+".jsonl"), nil
}

// InboxPeers and OutboxPeers are the handles that have a file there, sorted; none if the directory is
// missing. Files whose stem is no handle (`<peer>@<host>.jsonl`, `<peer>.pushed.jsonl`) do not count.
func (s Session) InboxPeers() ([]string, error)  { return peersIn(s.InboxDir()) }
func (s Session) OutboxPeers() ([]string, error) { return peersIn(s.OutboxDir()) }

// OutboxFiles are the names of all that is in the outbox, in no order; none if the directory is missing.
func (s Session) OutboxFiles() ([]string, error) {
	d, err := os.Open(s.OutboxDir())
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

func peersIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	var out []string
	for _, e := range entries {
		stem, ok := strings.CutSuffix(e.Name(), ".jsonl")
		if ok && !e.IsDir() && identity.CheckHandle(stem) == nil {
			out = append(out, stem)
		}
	}
	slices.Sort(out) // "a-b.jsonl" sorts before "a.jsonl", "a" before "a-b"
	return out, nil
}

// Exists says whether the directory is there.
func (s Session) Exists() bool {
	dir := s.Dir
	if dir == "" {
		dir = s.cfg
	}
	info, err := os.Stat(dir)
	return err == nil && info.IsDir()
}

// HasCard says whether a card is there, content unchecked: then the reference calls the session an existing one.
func (s Session) HasCard() bool { return exists(s.CardFile()) }

// Initialized says whether key and card are there, contents unchecked.
func (s Session) Initialized() bool { return exists(s.KeyFile()) && exists(s.CardFile()) }

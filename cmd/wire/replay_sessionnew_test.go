//go:build linux

package main_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"wirefleet.dev/wire/internal/process"
)

var sessionNewScript = script{
	start: up(localRelay, federationRelay),
	steps: map[string]step{
		"with-daemon-already-running":       {row: "registry-only-when-needed", ours: unchanged("registry.json")},
		"with-daemon":                       {row: "no-pending-pair-directory", ours: unchanged("/pending-pair/")},
		"five-failed-claims-again":          {row: "completes-sessions", ours: together(fails, says("error: 5 failed attempts to claim a handle on http://127.0.0.1:8770 for session nnnn"))},
		"relay-dead-again":                  {row: "completes-sessions", ours: together(alsoChanged("A h/sessions/juno/config/wire/relay.json"), says("slot allocated on http://127.0.0.1:8770 (slot_id=", "claimed juno on http://127.0.0.1:8770"))},
		"local-only-dead-again":             {row: "completes-sessions", ours: together(unchanged("registry.json"), alsoChanged("A h/sessions/iris/config/wire/relay.json"), says("local slot allocated on http://127.0.0.1:8771 (slot_id="))},
		"with-local-dead-again":             {row: "adds-local-slot", ours: together(unchanged("registry.json"), alsoChanged("M h/sessions/helios/config/wire/relay.json"), says("local slot allocated on http://127.0.0.1:8771 (slot_id="))},
		"already-exists-ignores-flags":      {row: "completes-sessions", ours: together(fails, says("error: atlas lacks a slot on http://127.0.0.1:9, and could not get one"))},
		"derive-1":                          {edit: derived},
		"derive-2":                          {edit: derived},
		"derive-9":                          {edit: derived},
		"derive-11":                         {edit: derived, row: "derived-name-fits", ours: fits},
		"derive-13":                         {edit: derived, row: "derived-name-fits", ours: together(fits, made)},
		"derive-14":                         {edit: derived, row: "derived-name-fits", ours: together(fits, made)},
		"derive-again-uses-registry-value":  {edit: derived, row: "derived-name-fits", ours: fits},
		"derive-registry":                   {edit: derived, row: "derived-name-fits", ours: fits},
		"derive-directories":                {home: "$ROOT/der", check: derivedDirectories},
		"derive-occupied-by-directory-only": {before: directory("der/sessions/orphan")},

		"registry-with-non-string-value-is-replaced": {
			before: file("cor/sessions/registry.json", `{"by_cwd": {"/a": 1}}`),
			row:    "registry-never-replaced", ours: refused("error: $ROOT/cor/sessions/registry.json: does not parse"),
			after: all(file("cor/sessions/registry.json", `{"by_cwd": {}}`), makesK),
		},
		"registry-unknown-keys-dropped":         {before: file("cor/sessions/registry.json", `{"by_cwd": {"/a": "b"}, "extra": 1}`)},
		"registry-after-unknown-keys":           {row: "unknown-keys-kept", ours: keepsExtra},
		"registry-empty-file-new":               {row: "registry-never-replaced", ours: refused("error: $ROOT/cor/sessions/registry.json: does not parse")},
		"registry-empty-file":                   {before: file("cor/sessions/registry.json", "")},
		"local-only-relay-json":                 {row: "peers-always", ours: emptyPeers},
		"local-relay-trailing-slash-relay-json": {row: "peers-always", ours: emptyPeers},
		"daemon-pid-file":                       {row: "record-names-build", ours: namesBuild},
		"sessions-root-is-a-file":               {before: file("bad/sessions", "")},

		"daemon-log":                              {home: "$ROOT/h", check: logBegins},
		"daemon-process":                          {home: "$ROOT/h", check: daemonProcess},
		"daemon-count-after-second-call":          {home: "$ROOT/h", check: oneDaemon},
		"daemon-respawned-on-already-exists":      {before: killed("notus"), row: "registry-only-when-needed", ours: unchanged("registry.json")},
		"daemon-pid-differs-after-respawn":        {home: "$ROOT/h", check: pidDiffers},
		"daemon-pid-bare-integer-of-live-process": {before: all(killed("notus"), pidFile("notus", "%d")), row: "registry-only-when-needed", ours: unchanged("registry.json")},
		"daemon-started-despite-bare-integer":     {home: "$ROOT/h", check: oneDaemon},
		"daemon-pid-json-foreign-live-process":    {before: all(killed("notus"), pidFile("notus", `{"pid": %d}`)), row: "daemon-proven", ours: together(unchanged("registry.json"), alsoChanged("M h/sessions/notus/state/wire/daemon.log", "M h/sessions/notus/state/wire/daemon.pid"))},
		"daemon-pid-unchanged":                    {home: "$ROOT/h", row: "daemon-proven", check: oneDaemon},
		"daemon-pid-corrupt":                      {before: all(killed("notus"), file("h/sessions/notus/state/wire/daemon.pid", `{"pid": `)), row: "registry-only-when-needed", ours: unchanged("registry.json")},
		"daemon-start-failure-after-already-exists": {before: all(
			killed("notus"), removed("h/sessions/notus/state/wire/daemon.log"), directory("h/sessions/notus/state/wire/daemon.log"),
		), row: "registry-only-when-needed", ours: unchanged("registry.json")},
		"card-without-did": {before: file("h/sessions/nodid/config/wire/agent-card.json", "{}"), row: "completes-sessions", ours: says("nodid: a card without its private.key; repair that file or put the right one back, ")},
		"card-corrupt":     {before: file("h/sessions/badcard/config/wire/agent-card.json", "{"), row: "json-error-words", ours: says("error: $ROOT/h/sessions/badcard/config/wire/agent-card.json: does not parse")},
		"fallback-nick-when-registry-holds-__attempt_1": {before: file("h7/sessions/registry.json", `{"by_cwd": {"/a": "__attempt_1"}}`), row: "plain-nicks", ours: func(_ *world, r *record) { r.Before = []string{"/^claimed team-1 on /"} }},
	},
}

// hashes are the parts of derived names that are a hash of the working directory's path, which is another
// one with us.
var hashes = map[string]string{
	"886c": "/srv/two/api", "ef46": "/srv/three/API", "4af4": "/srv/two/ccccccccccccccccccccccccccc",
	"bad9": "/srv/two/dddddddddddddddddddddddddddd", "90d5": "/srv/two/eeeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
	"f2b3": "/srv/three/eeeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
}

func derived(w *world, r *record) {
	for theirs, cwd := range hashes {
		sum := sha256.Sum256([]byte(w.local(cwd)))
		ours := hex.EncodeToString(sum[:2])
		for _, doc := range []*json.RawMessage{&r.JSON, &r.Content} {
			if *doc != nil {
				text := strings.ReplaceAll(compactJSON(*doc), "-"+theirs, "-"+ours)
				// Cut to 32 bytes, the directory keeps three of the four digits.
				*doc = json.RawMessage(strings.ReplaceAll(text, "-"+theirs[:3]+`"`, "-"+ours[:3]+`"`))
			}
		}
	}
}

// tooLong is a derived name with hash whose base has 28 to 31 letters; its directory may be cut.
var tooLong = regexp.MustCompile(`(d{28}|e{31})(-[0-9a-f]{4}|-[0-9a-f]{3})?(-[0-9a-f]{8})?"`)

// fits: name, handle and directory are one, with a base of 27 letters.
func fits(w *world, r *record) {
	for _, doc := range []*json.RawMessage{&r.JSON, &r.Content} {
		if *doc == nil {
			continue
		}
		sum := sha256.Sum256([]byte(w.local(r.Cwd)))
		text := strings.ReplaceAll(compactJSON(*doc), `"cwd":"`+r.Cwd+`"`, `"cwd":"<cwd>"`)
		for _, m := range tooLong.FindAllStringSubmatch(text, -1) {
			hash := hex.EncodeToString(sum[:2])
			if r.Cwd == "" { // of the registry: names as derived
				if hash = strings.TrimPrefix(m[2], "-"); hash == "" {
					continue
				}
			}
			text = strings.Replace(text, m[0], m[1][:27]+"-"+hash+m[3]+`"`, 1)
		}
		*doc = json.RawMessage(strings.ReplaceAll(text, `"<cwd>"`, `"`+r.Cwd+`"`))
	}
}

// made: another session, which did not exist.
func made(_ *world, r *record) {
	r.JSON = json.RawMessage(strings.Replace(string(r.JSON), `"already_exists"`, `"created"`, 1))
	r.Stderr, r.Before = []string{"local slot allocated"}, []string{}
	id := regexp.MustCompile(`-[0-9a-f]{8}"`)
	r.JSON = id.ReplaceAll(r.JSON, fmt.Appendf(nil, `-%08x"`, len(r.Cwd)))
}

// derivedDirectories: one for each project, whatever hash its name has.
func derivedDirectories(w *world, r *record) error {
	got, err := directoriesIn(w.path("der/sessions"))
	if err != nil {
		return err
	}
	var want []string
	if err := json.Unmarshal(r.All["directories"], &want); err != nil {
		return err
	}
	if len(got) != len(want)+2 { // those of the two whose names are too long with the reference
		return fmt.Errorf("%d directories, want %d: %q", len(got), len(want), got)
	}
	return nil
}

// makesK makes the session that the reference made.
func makesK(w *world) error {
	dir := w.path("cor")
	got, err := w.run(&record{
		Argv: []string{"wire", "session", "new", "k", "--local-only", "--no-daemon"}, Env: map[string]*string{"WIRE_HOME": &dir}, Cwd: "$ROOT/srv/k",
	})
	if err == nil && got.exit != 0 {
		err = errors.New(got.err)
	}
	return err
}

func keepsExtra(_ *world, r *record) {
	r.Content = json.RawMessage(strings.TrimSuffix(compactJSON(r.Content), "}") + `,"extra":1}`)
	r.FileKeyOrder[""] = append(r.FileKeyOrder[""], "extra")
}

func logBegins(w *world, r *record) error {
	data, err := os.ReadFile(w.path(r.File))
	if err != nil {
		return err
	}
	if want := "wire daemon: syncing every 5s. SIGINT to stop.\n"; !strings.HasPrefix(string(data), want) {
		return fmt.Errorf("daemon.log is %q, want %q", data, want)
	}
	return nil
}

// daemonProcess looks at the daemon of notus as the recorder did, in /proc.
func daemonProcess(w *world, _ *record) error {
	rec, _ := process.ReadRecord(w.session("notus").DaemonPID())
	info, ok := process.Lookup(rec.PID)
	if !ok {
		return fmt.Errorf("no process %d", rec.PID)
	}
	if want := []string{w.path("bin/wire"), "daemon", "--interval", "5"}; !slices.Equal(info.Args, want) {
		return fmt.Errorf("command line %q, want %q", info.Args, want)
	}
	if info.WireHome != w.session("notus").Dir {
		return fmt.Errorf("WIRE_HOME %q", info.WireHome)
	}
	proc := fmt.Sprintf("/proc/%d/", rec.PID)
	for name, want := range map[string]string{
		"fd/0": "/dev/null", "fd/1": w.session("notus").DaemonLog(), "fd/2": w.session("notus").DaemonLog(),
		"cwd": w.session("notus").Dir, // ours; the reference keeps the caller's
	} {
		if got, err := os.Readlink(proc + name); err != nil || got != want {
			return fmt.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
	group, err := syscall.Getpgid(rec.PID)
	if err != nil || group != rec.PID { // ours: it survives the terminal that started it
		return fmt.Errorf("process group %d (%v), want its own", group, err)
	}
	w.kept["pid"] = rec.PID
	return nil
}

func oneDaemon(w *world, _ *record) error {
	n := 0
	for _, i := range carriers(w.session("notus").Dir) {
		if len(i.Args) > 1 && i.Args[1] == "daemon" {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("%d daemons, want 1", n)
	}
	return nil
}

// killed ends a session's daemon without warning; its record stays.
func killed(name string) func(*world) error {
	return func(w *world) error { return w.endDaemon(w.session(name).DaemonPID(), syscall.SIGKILL) }
}

func pidDiffers(w *world, _ *record) error {
	rec, _ := process.ReadRecord(w.session("notus").DaemonPID())
	if rec.PID == 0 || rec.PID == w.kept["pid"] {
		return errors.New("the record names the old daemon")
	}
	return nil
}

func directoriesIn(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, filepath.Base(e.Name()))
		}
	}
	return names, err
}

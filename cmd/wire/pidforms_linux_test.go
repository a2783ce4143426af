package main_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"wirefleet.dev/wire/internal/home"
)

// TestPidFileForms replays what the reference's status, doctor and upgrade --check made of a daemon.pid in 45
// forms. None of the processes that they name is a daemon, which is where we differ on purpose: the reference
// takes whatever has the pid for one.
func TestPidFileForms(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../internal/process/testdata/pid-files.json")
	check(t, err)
	var vector struct {
		DID    string `json:"did"`
		Live   int    `json:"live_pid"`
		Dead   int    `json:"dead_pid"`
		Zombie int    `json:"zombie_pid"`
		Rows   []struct {
			Case    string          `json:"case"`
			Content json.RawMessage `json:"content"`
			Status  map[string]any  `json:"status_daemon"`
			Doctor  struct {
				Consistency []any `json:"daemon_pid_consistency"`
			} `json:"doctor"`
			Upgrade struct {
				Version *string `json:"pidfile_version"`
			} `json:"upgrade_check"`
		} `json:"rows"`
	}
	check(t, json.Unmarshal(data, &vector))
	p := placeFor(t)
	s := home.At(p.wh)
	must(t, p.wire("init", "ada"))
	check(t, p.startRelay())
	must(t, p.wire("bind-relay", "http://"+p.relay))
	stranger, zombie := lives(t, p), isZombie(t)
	dead := zombie + 1<<22 // above any pid_max
	card, err := s.ReadCard()
	check(t, err)

	ours := strings.NewReplacer(
		vector.DID, card["did"].(string), "http://127.0.0.1:8771", "http://"+p.relay, "/home/dev/bin/wire", suite.bin+"/wire",
	)
	number := regexp.MustCompile(`\b0*\d+\b`)
	pids := map[int]int{vector.Live: stranger, vector.Dead: dead, vector.Zombie: zombie}
	local := func(text string) string {
		text = number.ReplaceAllStringFunc(text, func(n string) string {
			v, err := strconv.Atoi(n)
			if err != nil || pids[v] == 0 || len(n) > 4 {
				return n
			}
			return strings.Repeat("0", len(n)-len(strconv.Itoa(v))) + strconv.Itoa(pids[v])
		})
		return ours.Replace(text)
	}
	for _, row := range vector.Rows {
		t.Run(row.Case, func(t *testing.T) {
			content, there := pidContent(t, row.Content, local)
			if there {
				check(t, os.WriteFile(s.DaemonPID(), content, 0o600))
			} else if err := os.Remove(s.DaemonPID()); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			var status struct{ Daemon map[string]any }
			check(t, json.Unmarshal([]byte(must(t, p.wire("status", "--json"))), &status))
			if status.Daemon["running"] != false {
				t.Errorf("running: %v", status.Daemon)
			}
			want := slices.Sorted(maps.Keys(row.Status))
			if got := slices.Sorted(maps.Keys(status.Daemon)); !slices.Equal(got, want) {
				t.Errorf("keys of status: %q, want %q", got, want)
			}
			var wantPID any
			if n, ok := row.Status["pid"].(float64); ok && n > 0 { // the reference shows 0 as a pid; there is none
				if wantPID = n; pids[int(n)] != 0 {
					wantPID = float64(pids[int(n)])
				}
			}
			if status.Daemon["pid"] != wantPID {
				t.Errorf("pid %v, want %v", status.Daemon["pid"], wantPID)
			}

			var upgrade struct {
				Version *string `json:"pidfile_version"`
			}
			check(t, json.Unmarshal([]byte(must(t, p.wire("upgrade", "--check", "--json"))), &upgrade))
			if a, b := upgrade.Version, row.Upgrade.Version; (a == nil) != (b == nil) || a != nil && *a != *b {
				t.Errorf("pidfile_version %v, want %v", a, b)
			}

			verdict := consistency(t, p)
			wanted := row.Doctor.Consistency[0].(string)
			if there && wanted == "PASS" { // a living stranger, a zombie, an empty file: each is drift (field failure G8)
				wanted = "WARN"
			}
			if verdict != wanted {
				t.Errorf("daemon_pid_consistency %s, want %s", verdict, wanted)
			}
			if after, err := os.ReadFile(s.DaemonPID()); there && (err != nil || string(after) != string(content)) {
				t.Errorf("looking at it changed it: %q, %v", after, err)
			}
		})
	}
}

// consistency is doctor's verdict on the record; no daemon serves the home, which is a failure of its own.
func consistency(t *testing.T, p place) string {
	t.Helper()
	out, err := p.wire("doctor", "--json").Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("doctor: %v", err)
	}
	var doc struct {
		Checks []struct{ ID, Status, Fix string }
	}
	check(t, json.Unmarshal(out, &doc))
	if c := doc.Checks[0]; c.ID != "daemon" || c.Status != "FAIL" {
		t.Errorf("%+v", c)
	}
	c := doc.Checks[1]
	if c.ID != "daemon_pid_consistency" || (c.Status == "PASS") != (c.Fix == "") {
		t.Errorf("%+v", c)
	}
	return c.Status
}

// pidContent is a file's content: null for no file, text, or base64 of what is none.
func pidContent(t *testing.T, raw json.RawMessage, local func(string) string) (content []byte, there bool) {
	t.Helper()
	var text *string
	if json.Unmarshal(raw, &text) == nil {
		if text == nil {
			return nil, false
		}
		return []byte(local(*text)), true
	}
	var doc struct{ Base64 string }
	check(t, json.Unmarshal(raw, &doc))
	content, err := base64.StdEncoding.DecodeString(doc.Base64)
	check(t, err)
	return content, true
}

// lives is a process that is no wire.
func lives(t *testing.T, p place) int {
	t.Helper()
	cmd, err := p.standInCmd("stranger", []string{"stranger"})
	check(t, err)
	go func() { _ = cmd.Wait() }() // placeFor ends it
	return cmd.Process.Pid
}

// isZombie is a process that has ended and is not waited for until the test is over.
func isZombie(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	check(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() })
	check(t, until(func() error {
		data, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/stat")
		if err == nil && !strings.Contains(string(data), ") Z ") {
			err = errors.New("not ended yet")
		}
		return err
	}))
	return cmd.Process.Pid
}

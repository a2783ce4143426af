package service

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUnitVectors replays what the reference's `wire service` printed, wrote and asked systemctl for, in order:
// the stand-in of its recorder succeeded and printed nothing, but for the last step.
func TestUnitVectors(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "service-units.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vector struct {
		Steps []struct {
			Do    string              `json:"do"`
			Note  string              `json:"note"`
			JSON  map[string]string   `json:"stdout_json"`
			Keys  []string            `json:"stdout_keys_in_order"`
			Calls [][]string          `json:"calls"`
			Lines map[string][]string `json:"lines"`
			Paths []string            `json:"paths"`
		} `json:"steps"`
	}
	if err := json.Unmarshal(data, &vector); err != nil {
		t.Fatal(err)
	}
	works := true
	m, asked := manager(t, "linux", func(string) (string, error) {
		if works {
			return "", nil
		}
		return "", errRefused
	})
	dir := filepath.Dir(m.path(Daemon))
	local := func(path string) string { return filepath.Join(dir, filepath.Base(path)) }
	for i, s := range vector.Steps {
		switch {
		case s.Do == "systemctl":
			var calls [][]string
			for _, line := range *asked {
				if words := strings.Fields(line); words[0] == "systemctl" {
					calls = append(calls, words)
				}
			}
			if d := cmp.Diff(s.Calls, calls); d != "" {
				t.Errorf("step %d (-want +got):\n%s", i, d)
			}
		case s.Do == "unit files":
			there, err := filepath.Glob(filepath.Join(dir, "*"))
			var want []string
			for _, p := range s.Paths {
				want = append(want, local(p))
			}
			if err != nil || !slices.Equal(there, want) {
				t.Errorf("step %d: %q, %v, want %q", i, there, err, want)
			}
			for name, lines := range s.Lines {
				text, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Error(err)
				}
				for _, l := range lines {
					if !slices.Contains(strings.Split(string(text), "\n"), l) {
						t.Errorf("step %d, %s: no line %q in\n%s", i, name, l, text)
					}
				}
			}
		default:
			works = s.Note != "systemctl fails"
			*asked = nil
			got := command(t, m, s.Do)
			s.JSON["unit_path"] = local(s.JSON["unit_path"])
			s.JSON["detail"] = got.Detail // of which the vector only says that it is text
			want := Report{s.JSON["action"], s.JSON["platform"], s.JSON["unit_path"], s.JSON["status"], s.JSON["detail"], Kind(s.JSON["kind"])}
			if got != want || got.Detail == "" {
				t.Errorf("step %d: %+v, want %+v", i, got, want)
			}
			line, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			at := -1
			for _, k := range s.Keys {
				next := strings.Index(string(line), `"`+k+`":`)
				if next <= at {
					t.Errorf("step %d: %s is not where it should be in %s", i, k, line)
				}
				at = next
			}
		}
	}
}

func command(t *testing.T, m Manager, line string) (r Report) {
	t.Helper()
	u := Unit{Kind: Daemon, Exe: "/home/dev/bin/wire"}
	if strings.Contains(line, "--local-relay") {
		u.Kind = LocalRelay
	}
	var err error
	switch strings.Fields(line)[2] {
	case "install":
		r, err = m.Install(t.Context(), u)
	case "uninstall":
		r, err = m.Uninstall(t.Context(), u.Kind)
	case "status":
		r, err = m.Status(t.Context(), u)
	default:
		t.Fatalf("no such command: %s", line)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

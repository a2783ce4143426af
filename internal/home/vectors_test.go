package home

import (
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// made is the root that the vectors were recorded under (vectors/home/README.md).
const made = "/home/dev"

// vector is a scenario file; what a test does not use of it stays raw.
type vector struct {
	Steps []step `json:"steps"`
}

type step struct {
	Do      string            `json:"do"`
	Env     map[string]string `json:"env"`
	Cwd     string            `json:"cwd"`
	Exit    int               `json:"exit"`
	Note    string            `json:"note"`
	Stdout  json.RawMessage   `json:"stdout_json"`
	Stderr  []string          `json:"stderr_has"`
	Tree    []entry           `json:"tree"`
	Change  *change           `json:"change"`
	RelayIn []string          `json:"state_dir"`
}

// entry is one path of a tree.
type entry struct {
	Path   string  `json:"path"`
	Mode   string  `json:"mode"`
	Dir    bool    `json:"dir"`
	Text   *string `json:"text"`
	Base64 *string `json:"base64"`
}

type change struct {
	Added   []entry  `json:"added"`
	Changed []entry  `json:"changed"`
	Removed []string `json:"removed"`
}

func load[T any](t testing.TB, name string) T {
	t.Helper()
	var v T
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// root is a fresh directory that stands for /home/dev, by its physical path.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// under is a text of the vectors with the made-up root replaced.
func under(root, text string) string { return strings.ReplaceAll(text, made, root) }

// plant makes the paths of a tree below root.
func plant(t testing.TB, root string, tree []entry) {
	t.Helper()
	for _, e := range tree {
		path := under(root, e.Path)
		mode, err := strconv.ParseUint(e.Mode, 8, 32)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if e.Dir {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = os.WriteFile(path, e.content(t, root), 0o600)
		}
		if err == nil {
			err = os.Chmod(path, fs.FileMode(mode))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// apply makes the state that a step shows: a whole tree or the change against the one before.
func (s step) apply(t testing.TB, root string) {
	t.Helper()
	plant(t, root, s.Tree)
	if s.Change == nil {
		return
	}
	for _, path := range s.Change.Removed {
		must(t, os.RemoveAll(under(root, path)))
	}
	plant(t, root, s.Change.Added)
	plant(t, root, s.Change.Changed)
}

// content is the bytes of an entry; the registry and the pid records are all that name the root.
func (e entry) content(t testing.TB, root string) []byte {
	t.Helper()
	if e.Base64 != nil {
		data, err := base64.StdEncoding.DecodeString(*e.Base64)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	return []byte(under(root, *e.Text))
}

// env is the environment of a step: HOME is the root, WIRE_HOME only what the step sets.
func (s step) environment(root string) Env {
	e := Env{Home: root, Cwd: root}
	if s.Cwd != "" {
		e.Cwd = under(root, s.Cwd)
	}
	for k, v := range s.Env {
		v = under(root, v)
		switch k {
		case "WIRE_HOME":
			e.WireHome, e.WireHomeSet = v, true
		case "XDG_CONFIG_HOME":
			e.XDGConfigHome = v
		case "XDG_STATE_HOME":
			e.XDGStateHome = v
		case "WIRE_QUIET_AUTOSESSION":
			e.Quiet = true
		}
	}
	return e
}

// text is the content that a tree has at path.
func text(t testing.TB, tree []entry, path string) string {
	t.Helper()
	for _, e := range tree {
		if e.Path == path {
			return *e.Text
		}
	}
	t.Fatalf("the vector has no %s", path)
	return ""
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func perm(t testing.TB, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// must fails the test on an error; it is for the calls whose success is not the question.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

package main_test

import (
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write what the scripts got into their expected files")

// TestScripts runs testdata/script/*.txtar, one scenario each.
func TestScripts(t *testing.T) {
	root, err := os.MkdirTemp(suite.root, "scripts-")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		WorkdirRoot:         root,
		Setup:               setup,
		Cmds:                commands,
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// setup gives a script its place: $WIRE_HOME, $RELAY and $GATE, which its yaml files may name.
func setup(env *testscript.Env) error {
	p, err := newPlace(env.WorkDir)
	if err != nil {
		return err
	}
	env.Vars = append(env.Vars, p.env()...)
	env.Vars = append(env.Vars, suite.goEnv...)
	s := &stage{place: p, started: map[string]*exec.Cmd{}}
	env.Values[stageKey{}] = s
	env.Defer(func() { s.end(env.T()) })
	return filepath.WalkDir(env.WorkDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, []byte(p.expand(string(data))), 0o600)
	})
}

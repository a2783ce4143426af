// The tests of the whole program: scripts (testdata/script), end-to-end tests and benchmarks over one plainly
// built binary and real processes.
//
// Law of the room: a test lives below one directory and on one loopback address that are its own, waits for
// conditions and never for a time, and leaves no process behind; whoever does, fails the run.
package main_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// suite is what all tests of this run share.
var suite struct {
	root  string   // every test lives below it
	bin   string   // holds wire, as `go build` makes it
	path  string   // PATH of everything: no other wire is on it
	goEnv []string // what the go command needs where HOME is another one
	races string   // the race detector's reports of all processes begin so
}

func TestMain(m *testing.M) {
	if kind := os.Getenv(standInVar); kind != "" {
		os.Exit(standIn(kind))
	}
	hearHangups()
	os.Exit(run(m))
}

// hearHangups lets what tests start hear SIGHUP also where the run does not (nohup go test): a signal that is ignored
// stays ignored in children, one with a handler does not. Reset would ignore it again.
func hearHangups() {
	if signal.Ignored(syscall.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
}

func run(m *testing.M) (status int) {
	root, err := os.MkdirTemp("", "wire-test-")
	if err == nil {
		suite.root, err = filepath.EvalSymlinks(root) // registry keys are physical paths
	}
	if err == nil {
		suite.bin, suite.races = filepath.Join(suite.root, "bin"), filepath.Join(suite.root, "race")
		err = build(filepath.Join(suite.bin, "wire"))
	}
	if err == nil {
		suite.path, err = pathWithout("wire", filepath.Join(suite.root, "path"))
	}
	if err == nil {
		suite.goEnv, err = goEnv()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	endOnSignal()
	status = m.Run()
	if left, err := endAll(suite.root); err != nil || len(left) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: processes left behind: %v (%v)\n", left, err)
		status = 1
	}
	if reports := raceReports(); reports != "" {
		fmt.Fprintln(os.Stderr, "FAIL: data races:\n"+reports)
		status = 1
	}
	if _, keep := os.LookupEnv("WIRE_TEST_KEEP"); keep {
		fmt.Fprintln(os.Stderr, "kept:", suite.root)
		return status
	}
	if err := os.RemoveAll(suite.root); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return status
}

// endOnSignal lets an interrupted run end what its tests started, too.
func endOnSignal() {
	signalled := make(chan os.Signal, 1)
	signal.Notify(signalled, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signalled
		for range 20 { // the tests go on: they fail one by one, now that there is no program
			removed := os.RemoveAll(suite.root)
			if left, err := endAll(suite.root); removed == nil && err == nil && len(left) == 0 {
				break
			}
		}
		os.Exit(1)
	}()
}

// build makes the binary that people get: no race detector, no coverage, no cgo. Tests under the race detector
// get one that is under it as well.
func build(path string) error {
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if raced {
		cmd = exec.Command("go", "build", "-race", "-o", path, ".")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// raceEnv makes every process below a test leave its reports where raceReports looks; commands, relays and daemons
// alike. None waits a second at its end, as the detector has it.
func raceEnv() []string {
	if !raced {
		return nil
	}
	return []string{"GORACE=atexit_sleep_ms=0 log_path=" + suite.races}
}

func raceReports() string {
	files, _ := filepath.Glob(suite.races + ".*")
	var all strings.Builder
	for _, file := range files {
		data, _ := os.ReadFile(file)
		all.Write(data)
	}
	return all.String()
}

// pathWithout is the binary's directory and PATH without a program that is installed there: what else is beside it is
// linked to from below dir.
func pathWithout(name, dir string) (string, error) {
	path := []string{suite.bin}
	for i, from := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(from, name)); err != nil {
			path = append(path, from)
			continue
		}
		to := filepath.Join(dir, strconv.Itoa(i))
		entries, err := os.ReadDir(from)
		if err = errors.Join(err, os.MkdirAll(to, 0o700)); err != nil {
			return "", err
		}
		for _, e := range entries {
			if e.Name() == name {
				continue
			}
			if err := os.Symlink(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
				return "", err
			}
		}
		path = append(path, to)
	}
	return strings.Join(path, string(os.PathListSeparator)), nil
}

// goEnv names the caches of the go command and the clone.
func goEnv() ([]string, error) {
	names := []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOSUMDB", "GOTOOLCHAIN"}
	out, err := exec.Command("go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	repository, err := filepath.Abs(filepath.Join("..", ".."))
	vars := []string{"REPOSITORY=" + repository, "WIRE=" + filepath.Join(suite.bin, "wire"), "CGO_ENABLED=0"}
	for i, value := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		vars = append(vars, names[i]+"="+value)
	}
	return vars, err
}

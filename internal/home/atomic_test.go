package home

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestWriteFile(t *testing.T) {
	dir := root(t)
	path := filepath.Join(dir, "relay.json")
	must(t, WriteFile(path, []byte("one"), 0o600))
	first, err := os.Stat(path)
	must(t, err)
	must(t, WriteFile(path, []byte("one"), 0o600))
	same, err := os.Stat(path)
	must(t, err)
	if !os.SameFile(first, same) || !same.ModTime().Equal(first.ModTime()) {
		t.Error("equal bytes were written")
	}
	must(t, WriteFile(path, []byte("two"), 0o600))
	second, err := os.Stat(path)
	must(t, err)
	if os.SameFile(first, second) || read(t, path) != "two" {
		t.Error("not replaced")
	}
	must(t, os.Chmod(path, 0o666))
	must(t, WriteFile(path, []byte("two"), 0o600))
	if perm(t, path) != 0o600 {
		t.Errorf("equal bytes, but %v", perm(t, path))
	}
	must(t, os.Chmod(path, 0o666))
	must(t, WriteFile(path, []byte("three"), 0o600))
	if perm(t, path) != 0o600 {
		t.Errorf("replaced, and %v", perm(t, path))
	}
	if names := list1(t, dir); names != "relay.json" {
		t.Errorf("left behind: %s", names)
	}
	if err := WriteFile(filepath.Join(dir, "none/x"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

func list1(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestWriteFileRefuses(t *testing.T) {
	dir := root(t)
	must(t, os.Mkdir(filepath.Join(dir, "directory"), 0o700))
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	must(t, os.Symlink("nothing", filepath.Join(dir, "dangling")))
	must(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	must(t, os.Symlink("directory", filepath.Join(dir, "link")))
	for _, name := range []string{"directory", "fifo", "dangling", "loop", "link"} {
		path := filepath.Join(dir, name)
		before, err := os.Lstat(path)
		must(t, err)
		var broken *FileError
		if err := WriteFile(path, []byte("x"), 0o600); !errors.As(err, &broken) {
			t.Errorf("%s: %v", name, err)
		}
		after, err := os.Lstat(path)
		must(t, err)
		if !os.SameFile(before, after) {
			t.Errorf("%s was replaced", name)
		}
	}
	// Nor does reading one hang.
	irregular := []string{"directory", "fifo", "link"}
	if socket, err := net.Listen("unix", filepath.Join(dir, "s")); err == nil { // darwin's limit on the path is low
		defer func() { _ = socket.Close() }()
		irregular = append(irregular, "s")
	}
	for _, name := range irregular {
		if _, _, err := readRegular(filepath.Join(dir, name)); !errors.Is(err, errIrregular) {
			t.Errorf("reading %s: %v", name, err)
		}
	}
	if err := AppendLines(filepath.Join(dir, "fifo"), [][]byte{[]byte("x")}, false); !errors.Is(err, errIrregular) {
		t.Errorf("appending to a FIFO: %v", err)
	}
}

func TestWriteFileFollowsLinks(t *testing.T) {
	dir := root(t)
	must(t, os.Mkdir(filepath.Join(dir, "elsewhere"), 0o700))
	target := filepath.Join(dir, "elsewhere/trust.json")
	write(t, target, "old")
	link := filepath.Join(dir, "trust.json")
	must(t, os.Symlink("elsewhere/trust.json", link))
	must(t, WriteFile(link, []byte("new"), 0o600))
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 || read(t, target) != "new" {
		t.Errorf("%v, %v, %s", info, err, read(t, target))
	}
}

// Right before the rename the temp file is whole, private and hidden, and the old file untouched.
func TestTempFile(t *testing.T) {
	umask(t, 0)
	dir := root(t)
	path := filepath.Join(dir, "relay.json")
	write(t, path, "old")
	looked := false
	must(t, replace(path, []byte("new"), 0o600, func(temp, path string) (func() error, error) {
		looked = true
		temps, err := filepath.Glob(filepath.Join(dir, ".relay.json"+tempMark+"*"))
		if err != nil || len(temps) != 1 {
			t.Fatalf("%v, %v", temps, err)
		}
		if !IsTemp(temps[0]) || IsTemp(path) || IsTemp(filepath.Join(dir, ".relay.json")) {
			t.Error("IsTemp")
		}
		if ext := filepath.Ext(temps[0]); ext == ".json" || ext == ".jsonl" {
			t.Errorf("a reader of the reference would load %s", temps[0])
		}
		if perm(t, temps[0]) != 0o600 || read(t, temps[0]) != "new" || read(t, path) != "old" {
			t.Errorf("%v, %s, %s", perm(t, temps[0]), read(t, temps[0]), read(t, path))
		}
		return nil, os.Rename(temp, path)
	}))
	if !looked || read(t, path) != "new" {
		t.Errorf("looked %v, %s", looked, read(t, path))
	}
	if err := replace(path, []byte("newer"), 0o600, func(string, string) (func() error, error) { return nil, errMoved }); err != errMoved {
		t.Errorf("said no: %v", err)
	}
	if names := list1(t, dir); names != "relay.json" || read(t, path) != "new" {
		t.Errorf("after no: %s, %s", names, read(t, path))
	}
}

// What a crash left goes with the next write of that file, but not what somebody may still be writing.
func TestLeftoversGo(t *testing.T) {
	dir := root(t)
	long := time.Now().Add(-2 * tempAge)
	for name, old := range map[string]bool{
		".relay.json.tmp-000000000001": true, ".relay.json.tmp-000000000002": false, ".trust.json.tmp-000000000003": true,
	} {
		path := filepath.Join(dir, name)
		write(t, path, "half")
		if old {
			must(t, os.Chtimes(path, long, long))
		}
	}
	must(t, WriteFile(filepath.Join(dir, "relay.json"), []byte("x"), 0o600))
	if names := list1(t, dir); names != ".relay.json.tmp-000000000002 .trust.json.tmp-000000000003 relay.json" {
		t.Error(names)
	}
}

// kill -9 in the middle of writing: whoever reads sees one whole version, and the next write works.
func TestWriterKilled(t *testing.T) {
	path := filepath.Join(root(t), "relay.json")
	for range 5 {
		cmd, end := process(t, "writer", path)
		seen := map[byte]bool{}
		for len(seen) < 3 { // it is in the middle of things
			data, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			must(t, err)
			seen[whole(t, data)] = true
		}
		must(t, cmd.Process.Kill())
		end()
		whole(t, []byte(read(t, path)))
		must(t, WriteFile(path, []byte(strings.Repeat("z", 1<<16)), 0o600))
	}
}

func whole(t *testing.T, data []byte) byte {
	t.Helper()
	if len(data) != 1<<16 || strings.Trim(string(data), string(data[:1])) != "" {
		t.Fatalf("torn: %d bytes", len(data))
	}
	return data[0]
}

func TestAppendLines(t *testing.T) {
	dir := root(t)
	path := filepath.Join(dir, "beth.jsonl")
	must(t, AppendLines(path, nil, true))
	if exists(path) {
		t.Error("no lines made a file")
	}
	must(t, AppendLines(path, [][]byte{[]byte("a"), []byte(""), []byte("b\u2028c")}, true))
	if got := read(t, path); got != "a\n\nb\u2028c\n" {
		t.Errorf("%q", got)
	}
	long := strings.Repeat("x", 10_000)
	for before, want := range map[string]string{
		"":                                "b\n",
		"{\"a\":1}\n":                     "{\"a\":1}\nb\n",
		"{\"a\":1}":                       "{\"a\":1}\nb\n", // only its end is missing
		"{\"a\":1}\n{\"a":                 "{\"a\":1}\nb\n", // killed while it was written
		"{\"a":                            "b\n",
		"{\"a\":1}\n{\"" + long:           "{\"a\":1}\nb\n",
		"{\"" + long + "\":1}\n{\"" + "y": "{\"" + long + "\":1}\nb\n",
		"torn\n{\"a\":1}\n":               "torn\n{\"a\":1}\nb\n", // what has an end is somebody's
	} {
		write(t, path, before)
		must(t, AppendLines(path, [][]byte{[]byte("b")}, false))
		if got := read(t, path); got != want {
			t.Errorf("%.40q and b: %.40q", before, got)
		}
	}
	write(t, path, "{\"a")
	time.AfterFunc(tornFor/2, func() {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString("\":1}")
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Error(err)
		}
	})
	must(t, AppendLines(path, [][]byte{[]byte("b")}, false))
	if got := read(t, path); got != "{\"a\":1}\nb\n" {
		t.Errorf("a line that was being written: %q", got)
	}
	write(t, path, "a\n")
	var broken *FileError
	if err := AppendLines(path, [][]byte{[]byte("x"), []byte("y\nz")}, false); !errors.As(err, &broken) {
		t.Errorf("a line of two lines: %v", err)
	}
	if got := read(t, path); got != "a\n" {
		t.Errorf("after the refusal: %q", got)
	}
	if err := AppendLines(filepath.Join(dir, "none/x.jsonl"), [][]byte{[]byte("x")}, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

// TestAppendWithoutRoom: of an append that the disk did not take whole nothing is left. The limit is that of a
// process of its own, for the test binary writes files as well.
func TestAppendWithoutRoom(t *testing.T) {
	const child = "WIRE_TEST_WITHOUT_ROOM"
	lines := [][]byte{[]byte("{\"a\":1}"), []byte(strings.Repeat("x", 2000))}
	if path := os.Getenv(child); path != "" {
		signal.Ignore(syscall.SIGXFSZ)
		short := syscall.Rlimit{Cur: 1000, Max: 1000}
		must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &short))
		if err := AppendLines(path, lines, true); !errors.Is(err, syscall.EFBIG) {
			t.Errorf("the error is %v", err)
		}
		return
	}
	path := filepath.Join(root(t), "beth.jsonl")
	write(t, path, "{}\n")
	exe, err := os.Executable()
	must(t, err)
	limited := exec.Command(exe, "-test.run=^TestAppendWithoutRoom$")
	limited.Env = append(os.Environ(), child+"="+path)
	if out, err := limited.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if got := read(t, path); got != "{}\n" {
		t.Errorf("left: %.60q", got)
	}
	must(t, AppendLines(path, lines, true))
	if got := read(t, path); len(got) < 2000 {
		t.Errorf("with room: %.60q", got)
	}
}

func TestAppendConcurrently(t *testing.T) {
	path := filepath.Join(root(t), "beth.jsonl")
	const writers, each = 8, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				line := fmt.Appendf(nil, "%d %d %s", w, n, strings.Repeat("x", 5000))
				if err := AppendLines(path, [][]byte{line, line[:4]}, false); err != nil {
					t.Error(err)
				}
			}
		})
	}
	// A process of the reference appends without a lock, in one write.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	must(t, err)
	for range each {
		_, err := f.WriteString("theirs\n")
		must(t, err)
	}
	must(t, f.Close())
	wg.Wait()
	lines := strings.Split(strings.TrimSuffix(read(t, path), "\n"), "\n")
	theirs := 0
	for i := 0; i < len(lines); i++ {
		if lines[i] == "theirs" {
			theirs++
			continue
		}
		// Both lines of one call stand together.
		if i+1 == len(lines) || len(lines[i]) < 5000 || lines[i+1] != lines[i][:4] {
			t.Fatalf("line %d of %d is torn or parted: %.20q", i, len(lines), lines[i])
		}
		i++
	}
	if theirs != each || len(lines) != each+2*writers*each {
		t.Errorf("%d lines, %d of theirs", len(lines), theirs)
	}
}

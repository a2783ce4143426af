package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func tabled(t *testing.T, pid int) (Info, bool) {
	t.Helper()
	all, err := Table()
	if err != nil {
		t.Fatal(err)
	}
	for n, i := range all {
		if n > 0 && all[n-1].PID >= i.PID {
			t.Errorf("not sorted: %d before %d", all[n-1].PID, i.PID)
		}
		if i.Role() == "" {
			t.Errorf("pid %d has no role: %q", i.PID, i.Args)
		}
		if i.PID == pid {
			return i, true
		}
	}
	return Info{}, false
}

func TestTableShowsADaemon(t *testing.T) {
	s := spec(t, "serve")
	before := time.Now()
	child := start(t, s)
	i, ok := tabled(t, child.PID)
	if !ok {
		t.Fatal("a running daemon is not in the table")
	}
	if i.Role() != Daemon || i.WireHome != s.Home {
		t.Errorf("role %q of home %q", i.Role(), i.WireHome)
	}
	if runtime.GOOS == "linux" && i.Cwd != s.Home {
		t.Errorf("cwd %q", i.Cwd)
	}
	if d := cmp.Diff([]string{"wire", "daemon", "--interval", "5"}, i.Args); d != "" {
		t.Error(d)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(s.Exe, &st); err != nil || i.ExeIno != st.Ino || i.ExeDev != uint64(st.Dev) {
		t.Errorf("executable %d:%d, want %d:%d, %v", i.ExeDev, i.ExeIno, st.Dev, st.Ino, err)
	}
	// The kernel counts in hundredths and its clock may be slewed: a second is what callers allow twice over.
	if d := i.StartedAt.Sub(before); d < -time.Second || d > time.Minute {
		t.Errorf("started %v after the test looked at its clock", d)
	}

	p, err := Open(i.PID, i.StartTicks)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.h.signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for now, ok := i, true; !now.Stopped(); now, ok = Lookup(i.PID) {
		if !ok {
			t.Fatal("a halted process is not dead")
		}
		runtime.Gosched()
	}
	kill9(t, i)
	if _, ok := tabled(t, i.PID); ok {
		t.Error("a killed daemon is still in the table")
	}
}

// A wrapper has "wire daemon" on its command line and the home in its environment, but stopping it would be
// stopping a stranger.
func TestWrappersAreNoDaemons(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "read wait; true wire daemon", "wire", "daemon")
	cmd.Env = []string{"WIRE_HOME=" + t.TempDir()}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		_ = cmd.Wait()
	}()
	if i, ok := tabled(t, cmd.Process.Pid); ok {
		t.Errorf("a shell is a daemon: %q", i.Args)
	}
}

func TestRole(t *testing.T) {
	for want, lines := range map[Role][][]string{
		Daemon: {{"wire", "daemon"}, {"/opt/my tools/wire", "daemon", "--once"}},
		Notify: {{"./wire", "notify", "--interval", "2"}},
		Relay:  {{"wire", "relay-server", "--local-only"}},
		"":     {{}, {"wire"}, {"wire", "send"}, {"wired", "daemon"}, {"vim", "wire", "daemon"}, {"wire daemon"}},
	} {
		for _, args := range lines {
			if got := (Info{Args: args}).Role(); got != want {
				t.Errorf("%q is %q, want %q", args, got, want)
			}
		}
	}
}

func TestPortOwner(t *testing.T) {
	l := listen(t)
	want, ok := Lookup(os.Getpid())
	if !ok {
		t.Fatal("not in the table")
	}
	got := PortOwner(l.Addr().String())
	if runtime.GOOS == "linux" && got != "pid "+itoa(want.PID)+" ("+comm(t)+")" {
		t.Errorf("%q", got)
	}
	addr := l.Addr().String()
	l.Close()
	if got := PortOwner(addr); got != "" {
		t.Errorf("nobody listens, and yet %s", got)
	}
}

func TestExecutable(t *testing.T) {
	tmp, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(parts ...string) string {
		path := filepath.Join(append([]string{tmp}, parts...)...)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hash := "31e36fa9b98b4c124e3f81a4f4f8424de27818193bc54250481cf000faa9742d-d"
	for name, c := range map[string]struct {
		path string
		ok   bool
	}{
		"installed":              {at("bin", "wire"), true},
		"replaced":               {at("bin", "wire") + deletedSuffix, true},
		"deleted":                {filepath.Join(tmp, "none", "wire") + deletedSuffix, false},
		"go run":                 {at("tmp", "go-build123", "b001", "exe", "wire"), false},
		"go run, GOTMPDIR":       {at("gotmp", "go-build9", "b001", "exe", "wire"), false},
		"go run, built before":   {at("any", "31", hash, "wire"), false},
		"go run, own cache":      {at("cache", "x", "wire"), false},
		"a clone below the temp": {at("tmp", "clone", "wire"), true},
		"a folder":               {filepath.Join(tmp, "bin"), false},
	} {
		t.Run(name, func(t *testing.T) {
			dirs := []string{filepath.Join(tmp, "tmp"), filepath.Join(tmp, "gotmp")}
			got, err := checkExecutable(c.path, dirs, filepath.Join(tmp, "cache"))
			if (err == nil) != c.ok {
				t.Fatalf("%q, %v", got, err)
			}
			if c.ok && got != filepath.Join(filepath.Dir(c.path), "wire") {
				t.Errorf("%q", got)
			}
		})
	}
	link := filepath.Join(tmp, "link")
	if err := os.Symlink(filepath.Join(tmp, "tmp"), link); err != nil {
		t.Fatal(err)
	}
	if _, err := checkExecutable(filepath.Join(tmp, "tmp", "go-build123", "b001", "exe", "wire"), []string{link}, ""); err == nil {
		t.Error("a temp directory that is a link hides go run")
	}
}

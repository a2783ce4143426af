package process

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel counts start times in USER_HZ, which is 100 on every architecture we build for.
const tick = time.Second / 100

// Table is one scan of the process table: this user's wire processes, zombies excluded, sorted by pid.
// Kernel threads and strangers cost one look each.
func Table() ([]Info, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	uid := uint32(os.Geteuid())
	var found []Info
	buf := make([]byte, 4096)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Fstatat(int(dir.Fd()), name, &st, 0) != nil || st.Uid != uid {
			continue
		}
		i := Info{PID: pid}
		if i.Args, err = readArgs("/proc/"+name+"/cmdline", buf); err != nil || i.Role() == "" {
			continue
		}
		if i.fill() {
			found = append(found, i)
		}
	}
	slices.SortFunc(found, func(a, b Info) int { return a.PID - b.PID })
	return found, nil
}

// Lookup is one process of the table, whoever owns it; ok is false if it does not exist, is a zombie, or
// is a thread of another one.
func Lookup(pid int) (i Info, ok bool) {
	dir := procDir(pid)
	status, err := os.ReadFile(dir + "/status")
	if err != nil || !bytes.Contains(status, []byte("\nTgid:\t"+strconv.Itoa(pid)+"\n")) {
		return Info{}, false
	}
	i = Info{PID: pid}
	i.Args, _ = readArgs(dir+"/cmdline", make([]byte, 4096))
	return i, i.fill()
}

// Alive says whether a process with that pid and start exists and is no zombie.
func Alive(pid int, startTicks uint64) bool {
	state, start, err := readStat(pid)
	return err == nil && start == startTicks && !dead(state)
}

func dead(state byte) bool { return state == 'Z' || state == 'X' || state == 'x' }

// fill reads everything but the arguments; false if the process is gone or a zombie. The start is read
// first and last, so that nothing read in between belongs to a later process with the same pid.
func (i *Info) fill() bool {
	_, start, err := readStat(i.PID)
	if err != nil {
		return false
	}
	dir := procDir(i.PID)
	if env, err := os.ReadFile(dir + "/environ"); err == nil {
		i.WireHome, i.EnvRead = lookupEnv(env, "WIRE_HOME"), true
	}
	i.Cwd, _ = os.Readlink(dir + "/cwd")
	if exe, err := os.Readlink(dir + "/exe"); err == nil {
		i.Exe = strings.TrimSuffix(exe, deletedSuffix)
	}
	var st unix.Stat_t
	if unix.Stat(dir+"/exe", &st) == nil {
		i.ExeDev, i.ExeIno = uint64(st.Dev), st.Ino
	}
	state, again, err := readStat(i.PID)
	if err != nil || again != start || dead(state) {
		return false
	}
	i.State, i.StartTicks, i.StartedAt = state, start, startedAt(start)
	return true
}

func procDir(pid int) string { return filepath.Join("/proc", strconv.Itoa(pid)) }

// readStat is the state and the start of a process: fields 3 and 22, counted after the last ")", for the
// command name before it may hold anything.
func readStat(pid int) (state byte, start uint64, err error) {
	f, err := os.Open(procDir(pid) + "/stat")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	var buf [1024]byte
	n, err := f.Read(buf[:])
	if err != nil {
		return 0, 0, err
	}
	return parseStat(buf[:n])
}

func parseStat(line []byte) (state byte, start uint64, err error) {
	rest := line[bytes.LastIndexByte(line, ')')+1:]
	fields := bytes.Fields(rest)
	if len(fields) < 20 || len(fields[0]) != 1 {
		return 0, 0, errors.New("unexpected /proc/PID/stat")
	}
	start, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return fields[0][0], start, err
}

func startedAt(ticks uint64) time.Time {
	var up unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(ticks)*tick - time.Duration(up.Nano()))
}

// readArgs reads a command line into buf, which is only a start: arguments may be long.
func readArgs(path string, buf []byte) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := f.Read(buf)
	if err != nil {
		return nil, err // a kernel thread has none: io.EOF
	}
	data := buf[:n]
	if n == len(buf) {
		if data, err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00"), nil
}

func lookupEnv(environ []byte, key string) string {
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		if value, ok := bytes.CutPrefix(entry, []byte(key+"=")); ok {
			return string(value)
		}
	}
	return ""
}

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
}

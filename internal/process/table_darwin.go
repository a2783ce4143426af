package process

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Table is one scan of the process table: this user's wire processes, zombies excluded, sorted by pid.
func Table() ([]Info, error) {
	all, err := unix.SysctlKinfoProcSlice("kern.proc.uid", os.Geteuid())
	if err != nil {
		return nil, err
	}
	var found []Info
	for n := range all {
		if i, ok := inspect(&all[n]); ok && i.Role() != "" {
			found = append(found, i)
		}
	}
	slices.SortFunc(found, func(a, b Info) int { return a.PID - b.PID })
	return found, nil
}

// Lookup is one process of the table, whoever owns it; ok is false if it does not exist or is a zombie.
func Lookup(pid int) (i Info, ok bool) {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || int(k.Proc.P_pid) != pid {
		return Info{}, false
	}
	return inspect(k)
}

// Alive says whether a process with that pid and start exists and is no zombie.
func Alive(pid int, startTicks uint64) bool {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	return err == nil && int(k.Proc.P_pid) == pid && started(k) == startTicks && state(k) != 'Z'
}

func inspect(k *unix.KinfoProc) (Info, bool) {
	i := Info{PID: int(k.Proc.P_pid), StartTicks: started(k), State: state(k)}
	if i.State == 'Z' {
		return Info{}, false
	}
	i.StartedAt = time.UnixMicro(int64(i.StartTicks))
	// Refused for other users' processes: what is known without it still counts.
	if raw, err := unix.SysctlRaw("kern.procargs2", i.PID); err == nil {
		i.parseArgs(raw)
	}
	var st unix.Stat_t
	if i.Exe != "" && unix.Stat(i.Exe, &st) == nil {
		i.ExeDev, i.ExeIno = uint64(st.Dev), st.Ino
	}
	return i, true
}

// parseArgs reads kern.procargs2: argc, the path of the executable, padding, arguments, environment.
func (i *Info) parseArgs(raw []byte) {
	if len(raw) < 4 {
		return
	}
	argc := int(binary.NativeEndian.Uint32(raw))
	exe, rest, _ := bytes.Cut(raw[4:], []byte{0})
	i.Exe = string(exe)
	rest = bytes.TrimLeft(rest, "\x00")
	for entry := range bytes.SplitSeq(rest, []byte{0}) {
		if len(i.Args) < argc {
			i.Args = append(i.Args, string(entry))
			continue
		}
		i.EnvRead = true
		if value, ok := bytes.CutPrefix(entry, []byte("WIRE_HOME=")); ok {
			i.WireHome = string(value)
			return
		}
	}
}

func started(k *unix.KinfoProc) uint64 {
	t := k.Proc.P_starttime
	return uint64(t.Sec)*1e6 + uint64(t.Usec)
}

// state translates SIDL, SRUN, SSLEEP, SSTOP and SZOMB of <sys/proc.h>.
func state(k *unix.KinfoProc) byte {
	const letters = "?IRSTZ"
	if n := int(k.Proc.P_stat); n > 0 && n < len(letters) {
		return letters[n]
	}
	return '?'
}

func bootID() (string, error) { return unix.Sysctl("kern.bootsessionuuid") }

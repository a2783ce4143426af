package home

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// kernelHolder finds the pid that holds a flock on f in /proc/locks; 0 if it is not to be seen there (it is
// in another pid namespace, or the file system numbers its devices in its own way).
//
//	1: FLOCK  ADVISORY  WRITE 4711 fd:01:1234567 0 EOF
func kernelHolder(f *os.File) int {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	table, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer func() { _ = table.Close() }()
	major := st.Dev>>8&0xfff | st.Dev>>32&0xfffff000
	minor := st.Dev&0xff | st.Dev>>12&0xffffff00
	file := []byte(hex2(major) + ":" + hex2(minor) + ":" + strconv.FormatUint(st.Ino, 10))
	for sc := bufio.NewScanner(table); sc.Scan(); {
		w := bytes.Fields(sc.Bytes())
		if len(w) < 6 || string(w[1]) != "FLOCK" || !bytes.Equal(w[5], file) {
			continue
		}
		pid, _ := strconv.Atoi(string(w[4]))
		return max(pid, 0)
	}
	return 0
}

func hex2(n uint64) string {
	s := strconv.FormatUint(n, 16)
	if len(s) < 2 {
		s = "0" + s
	}
	return s
}

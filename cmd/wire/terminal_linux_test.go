package main_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// onTerminal runs a command with a terminal for all three streams and returns what it wrote there.
func onTerminal(cmd *exec.Cmd) (string, error) {
	// Non-blocking, so that closing it ends a read.
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer master.Close()
	slave, err := slaveOf(master)
	if err != nil {
		return "", err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	slave.Close()
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	_, _ = io.Copy(&out, master) // ends with EIO when nobody has the other end any more
	return out.String(), cmd.Wait()
}

func slaveOf(master *os.File) (*os.File, error) {
	conn, err := master.SyscallConn()
	if err != nil {
		return nil, err
	}
	n, unlocked := 0, error(nil)
	err = conn.Control(func(fd uintptr) {
		if unlocked = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); unlocked == nil {
			n, unlocked = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err == nil {
		err = unlocked
	}
	if err != nil {
		return nil, err
	}
	return os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
}

package main

import (
	"os"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) {
	if at := os.Getenv(decoyEnv); at != "" {
		decoy(at)
		return
	}
	os.Exit(m.Run())
}

// Whatever signal a decoy gets, those that it cannot catch too, the proof fails.
func TestDecoyHarmed(t *testing.T) {
	for _, sig := range []syscall.Signal{
		syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGCONT, syscall.SIGUSR1,
	} {
		for _, namesake := range []bool{false, true} {
			w := &world{dir: t.TempDir()}
			t.Cleanup(w.endDecoys)
			if err := w.addDecoy(namesake); err != nil {
				t.Fatal(err)
			}
			if err := w.decoysUnharmed(); err != nil {
				t.Fatalf("before %s: %v", sig, err)
			}
			if err := w.decoys[0].cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if waitFor(func() bool { return w.decoysUnharmed() != nil }) != nil {
				t.Errorf("%s was not noticed", sig)
			}
		}
	}
}

package home

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// hookSwap has a test act at the exchanges of a replacement, the first being number 1.
func hookSwap(t *testing.T, hook func(n int, do func() error) error) {
	t.Helper()
	n := 0
	swap = func(a, b string) error {
		n++
		return hook(n, func() error { return swapNames(a, b) })
	}
	t.Cleanup(func() { swap = swapNames })
}

// with is a relay.json text with one more peer.
func with(t *testing.T, text, peer string) string {
	t.Helper()
	r, err := ParseRelay([]byte(text))
	must(t, err)
	r.SetPeer(peer, nil)
	return string(r.Bytes())
}

// TestWrittenAtTheExchange: what others write in place, without a lock, at the very moment of our replacement.
func TestWrittenAtTheExchange(t *testing.T) {
	type at = func(n int, do func() error) error
	for name, hook := range map[string]func(t *testing.T, path string) at{
		"before it": func(t *testing.T, path string) at {
			return func(n int, do func() error) error {
				if n == 1 {
					write(t, path, with(t, read(t, path), "theirs"))
				}
				return do()
			}
		},
		"begun before it": func(t *testing.T, path string) at {
			var f *os.File
			var theirs string
			return func(n int, do func() error) (err error) {
				switch n {
				case 1:
					theirs = with(t, read(t, path), "theirs")
					f, err = os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
					must(t, err)
					_, err = f.WriteString(theirs[:7])
					must(t, err)
				case 2:
					_, err = f.WriteString(theirs[7:])
					must(t, errors.Join(err, f.Close()))
				}
				return do()
			}
		},
		"before it, and once more over ours": func(t *testing.T, path string) at {
			return func(n int, do func() error) error {
				switch n {
				case 1:
					write(t, path, with(t, read(t, path), "theirs"))
				case 2:
					write(t, path, with(t, read(t, path), "more"))
				}
				return do()
			}
		},
		"before it, and by somebody who saw ours": func(t *testing.T, path string) at {
			return func(n int, do func() error) error {
				if n == 1 {
					write(t, path, with(t, read(t, path), "theirs"))
				}
				seen := ""
				if n == 2 {
					seen = read(t, path)
				}
				err := do()
				if n == 2 {
					write(t, path, with(t, seen, "more"))
				}
				return err
			}
		},
		"before it, and late by somebody who saw ours": func(t *testing.T, path string) at {
			seen := ""
			return func(n int, do func() error) error {
				switch n {
				case 1:
					write(t, path, with(t, read(t, path), "theirs"))
				case 2:
					seen = read(t, path)
				}
				err := do()
				if n == 3 {
					write(t, path, with(t, seen, "more"))
				}
				return err
			}
		},
		"before it, where nothing can be exchanged": func(t *testing.T, path string) at {
			return func(n int, _ func() error) error {
				if n == 1 {
					write(t, path, with(t, read(t, path), "theirs"))
				}
				return syscall.EINVAL
			}
		},
		"begun before it, where nothing can be exchanged": func(t *testing.T, path string) at {
			return func(n int, _ func() error) error {
				if n == 1 {
					theirs := with(t, read(t, path), "theirs")
					f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
					must(t, err)
					_, err = f.WriteString(theirs[:7])
					must(t, err)
					time.AfterFunc(tornEvery/2, func() {
						_, err := f.WriteString(theirs[7:])
						if err := errors.Join(err, f.Close()); err != nil {
							t.Error(err)
						}
					})
				}
				return syscall.EINVAL
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := At(root(t))
			must(t, s.Ensure())
			write(t, s.RelayFile(), `{"peers":{"old":{}},"self":null}`)
			hookSwap(t, hook(t, s.RelayFile()))
			must(t, s.UpdateRelay(t.Context(), func(r *RelayFile) error {
				r.SetPeer("ours", nil)
				return nil
			}))
			r, err := s.ReadRelay()
			must(t, err)
			want := []string{"old", "ours", "theirs"}
			if strings.Contains(name, ", and ") {
				want = []string{"more", "old", "ours", "theirs"}
			}
			if got := r.Peers(); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			if left, err := filepath.Glob(filepath.Join(s.ConfigDir(), ".*"+tempMark+"*")); err != nil || left != nil {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// TestRefusedChangeKeepsTheirs: a change that is called off when it is made again leaves what they wrote.
func TestRefusedChangeKeepsTheirs(t *testing.T) {
	s := At(root(t))
	must(t, s.Ensure())
	write(t, s.RelayFile(), `{"peers":{},"self":null}`)
	hookSwap(t, func(n int, _ func() error) error {
		write(t, s.RelayFile(), with(t, read(t, s.RelayFile()), "theirs"))
		return syscall.EINVAL
	})
	no, calls := errors.New("no"), 0
	err := s.UpdateRelay(t.Context(), func(r *RelayFile) error {
		if calls++; calls > 1 {
			return no
		}
		r.SetPeer("ours", nil)
		return nil
	})
	if !errors.Is(err, no) {
		t.Error(err)
	}
	if r, err := s.ReadRelay(); err != nil || !slices.Contains(r.Peers(), "theirs") {
		t.Errorf("%v, %s", err, read(t, s.RelayFile()))
	}
}

// TestBesideInPlaceWriters: one program rewrites relay.json and trust.json in place and without a lock, again and
// again, while we change both. Of its updates none is lost; ours it may overwrite, as every program that takes no lock.
func TestBesideInPlaceWriters(t *testing.T) {
	const n = 300
	s := At(root(t))
	must(t, s.Ensure())
	write(t, s.RelayFile(), emptyRelay)
	write(t, s.TrustFile(), emptyTrust)
	var theirs sync.WaitGroup
	done := make(chan struct{})
	for path, key := range map[string]string{s.RelayFile(): "peers", s.TrustFile(): "agents"} {
		theirs.Go(func() {
			for i := range n {
				data, err := os.ReadFile(path)
				if err != nil {
					t.Error(err)
					return
				}
				doc, err := canon.ParseObject(data)
				if err != nil {
					t.Errorf("%s: a reader saw %q", path, data)
					return
				}
				doc[key].(canon.Doc)[fmt.Sprint("ghost", i)] = canon.Doc{}
				if err := os.WriteFile(path, canon.Pretty(doc), 0o600); err != nil {
					t.Error(err)
					return
				}
				// A pause as long as one of our writes, now a bit shorter and now longer, else none of ours gets through.
				for range 1 + i%3 {
					if err := WriteFile(filepath.Join(s.Dir, key), fmt.Append(nil, i), 0o600); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	var ours sync.WaitGroup
	for k, change := range []func(i int) error{
		func(i int) error {
			return s.UpdateRelay(t.Context(), func(r *RelayFile) error { r.SetPeer(fmt.Sprint("ours", i), nil); return nil })
		},
		func(i int) error {
			return s.UpdateTrust(t.Context(), func(trust *canon.Spans) error {
				trust.Set([]byte("{}"), "agents", fmt.Sprint("ours", i))
				return nil
			})
		},
	} {
		ours.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				if err := change(i); err != nil && !errors.Is(err, errMoved) {
					t.Errorf("%d: %v", k, err)
				}
			}
		})
	}
	theirs.Wait()
	close(done)
	ours.Wait()
	r, err := s.ReadRelay()
	must(t, err)
	trust, err := s.ReadTrust()
	must(t, err)
	for name, keys := range map[string][]string{"relay.json": r.Peers(), "trust.json": trust.Keys("agents")} {
		ghosts := 0
		for _, k := range keys {
			if strings.HasPrefix(k, "ghost") {
				ghosts++
			}
		}
		if ghosts != n {
			t.Errorf("%s: of %d updates %d are left", name, n, ghosts)
		}
	}
}

//go:build !linux

package reconcile

// moves is for systems that tell of a directory's own move only whoever watches all that is in it: there the next
// resync sees it.
type moves struct{}

func newMoves(func()) (*moves, error) { return &moves{}, nil }

func (*moves) close() {}

func (*moves) follow([]string) error { return nil }

package relay

// Prepare makes a state directory, for whoever starts a relay in the background and wants its log there.
func Prepare(stateDir string) error { return makeStateDir(stateDir) }

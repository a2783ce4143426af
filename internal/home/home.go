// Package home knows where the files of a machine and of a session are and how they change
// (reference/home-and-daemon.md sections 1 to 5, design.md section 8).
//
// Law of the room: nothing else builds a path below WIRE_HOME. A write holds the file's lock, re-reads
// under it, keeps unknown keys, and replaces the file whole (temp file, fsync, rename, fsync of the
// directory) or not at all; what would not change is not written. What does not parse is read again for
// 100 ms, since the reference truncates in place, and then an error naming the file, never an empty
// document. What a program that takes no lock writes at the very moment of our rename is found in the file that
// was exchanged and stays. Files that hold a key or token are 0600 from creation, their directories 0700.
//
// Only Ensure, UpdateRegistry and the locks of a machine make directories: a write to a session that was
// destroyed in the meantime fails instead of bringing half of it back.
package home

import "errors"

// ErrNotInitialized is returned where a key and a card are needed and one is missing.
var ErrNotInitialized = errors.New("not initialized")

// FileError is a file that is not what it should be: unparsable, of the wrong length, of the wrong owner.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

var errRelative = errors.New("not an absolute path")

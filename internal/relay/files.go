package relay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tempPrefix begins the names of unfinished files. They end in digits, for the reference loads whatever
// ends in .json or .jsonl (relay.md section 7).
const tempPrefix = ".wire-new-"

// replaceFile puts data at path whole or not at all, durably, and returns the new file's identity.
func replaceFile(path string, data []byte) (fs.FileInfo, error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return nil, err
	}
	info, err := fillFile(f, data)
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(f.Name()))
	}
	return info, syncDir(dir)
}

func fillFile(f *os.File, data []byte) (fs.FileInfo, error) {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	info, statErr := f.Stat()
	return info, errors.Join(err, statErr, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// appendLine appends one line to a file of the directory, durably; a torn last line is ended first.
func (st *store) appendLine(name string, line []byte) error {
	if err := st.inPlace(); err != nil {
		return err
	}
	f, err := os.OpenFile(st.path(name), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	var last [1]byte
	if err == nil && info.Size() > 0 {
		_, err = f.ReadAt(last[:], info.Size()-1)
	}
	if err == nil {
		if info.Size() > 0 && last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
		_, err = f.Write(append(line, '\n'))
	}
	if err == nil {
		err = syncData(f)
	}
	if err == nil && info.Size() == 0 {
		err = syncDir(st.dir)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return st.inPlace()
}

// sameFile is an error unless path still names the file that want describes.
func sameFile(path string, want fs.FileInfo) error {
	got, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(got, want) {
		return fmt.Errorf("%s was replaced by somebody else", path)
	}
	return nil
}

// removeTemps clears what a killed relay left half-written.
func removeTemps(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

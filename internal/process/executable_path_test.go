package process

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestOnPath(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	put := func(dir string, mode os.FileMode) string {
		path := filepath.Join(root, dir, "wire")
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	first, second := put("a", 0o755), put("b", 0o700)
	put("text", 0o644)
	if err := errors.Join(os.MkdirAll(filepath.Join(root, "dir", "wire"), 0o755), os.Mkdir(filepath.Join(root, "link"), 0o755),
		os.Symlink(first, filepath.Join(root, "link", "wire"))); err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, d := range []string{"none", "text", "dir", "link", "a", "b", "a"} {
		dirs = append(dirs, filepath.Join(root, d))
	}
	got := OnPath("wire", strings.Join(dirs, string(os.PathListSeparator)))
	if want := []string{first, second}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

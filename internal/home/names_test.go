package home

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestNameVectors(t *testing.T) {
	names := load[struct {
		Sanitize []struct{ In, Name string }
		Derive   []struct {
			ByCwd map[string]string `json:"by_cwd"`
			Note  string            `json:"by_cwd_note"`
			Cwd   string
			Name  string
		} `json:"derive_from_cwd"`
	}](t, "names.json")
	if len(names.Sanitize) != 89 || len(names.Derive) != 33 {
		t.Fatalf("%d, %d", len(names.Sanitize), len(names.Derive))
	}
	for _, tc := range names.Sanitize {
		if got := Sanitize(tc.In); got != tc.Name {
			t.Errorf("Sanitize(%q) is %q, reference: %q", tc.In, got, tc.Name)
		}
		if got := Sanitize(tc.Name); got != tc.Name {
			t.Errorf("sanitizing twice: %q becomes %q", tc.Name, got)
		}
	}
	long := 0
	for _, tc := range names.Derive {
		reg := Registry{ByCwd: tc.ByCwd}
		if tc.Note != "" { // "values wire, wire-5eb2 and wire-2 to wire-999 are taken by other paths"
			reg.Set("/a", "wire")
			reg.Set("/b", "wire-5eb2")
			for n := 2; n <= 999; n++ {
				reg.Set("/c/"+strconv.Itoa(n), "wire-"+strconv.Itoa(n))
			}
		}
		want := tc.Name
		if _, registered := reg.Lookup(tc.Cwd); len(want) > maxName && !registered {
			// Too long for a directory (G6): the same hash behind a shorter base.
			want = want[:maxName-len("-0000")] + want[len(want)-len("-0000"):]
			long++
		}
		if got := reg.NameFor(tc.Cwd); got != want {
			t.Errorf("name for %q with %v is %q, want %q", tc.Cwd, tc.ByCwd, got, want)
		}
	}
	if long != 3 {
		t.Errorf("%d names were too long", long)
	}
}

// TestDerivedNameFits: whatever is taken, a derived name is its own directory's.
func TestDerivedNameFits(t *testing.T) {
	for _, base := range []string{
		"abcdefghijklmnopqrstuvwxyz01", "abcdefghijklmnopqrstuvwxyz012345", "abcdefghijklmnopqrstuvwxy-z-1234-x", "日本",
	} {
		reg := Registry{}
		for n := range 1010 {
			cwd := "/srv/" + strconv.Itoa(n) + "/" + base
			name := reg.NameFor(cwd)
			if Sanitize(name) != name {
				t.Fatalf("%s: %q is stored as %q", cwd, name, Sanitize(name))
			}
			if _, taken := reg.CwdOf(name); taken {
				t.Fatalf("%s: %q is taken", cwd, name)
			}
			reg.Set(cwd, name)
		}
	}
	// Where the reference left a longer one, its directory is taken too.
	reg := Registry{ByCwd: map[string]string{"/a": "dddddddddddddddddddddddddddd-bad9"}}
	if got := reg.NameFor("/b/dddddddddddddddddddddddddddd-bad"); got == "dddddddddddddddddddddddddddd-bad" {
		t.Errorf("%q is the directory of another session", got)
	}
}

// Paths of the chapter (5.3), beyond the vectors.
func TestDeriveName(t *testing.T) {
	taken := map[string]bool{"billing": true}
	for cwd, want := range map[string]string{
		"/home/dev/archive/billing": "billing-dc39",
		"/srv/work/billing":         "billing-177d",
		"/srv/\xff":                 "wire-session", // no UTF-8: no base
		"/srv/\xff/api":             "api",
	} {
		if got := DeriveName(cwd, taken); got != want {
			t.Errorf("DeriveName(%q) is %q, want %q", cwd, got, want)
		}
	}
}

// The reference turns a path into text as Unicode wants it: one U+FFFD for each maximal ill-formed part.
func TestRegistryKey(t *testing.T) {
	for in, want := range map[string]string{
		"/héllo":                 "/héllo",
		"/a\xffb":                "/a\uFFFDb",
		"/a\xff\xfeb":            "/a\uFFFD\uFFFDb",
		"/a\xe2\x82b":            "/a\uFFFDb",           // the beginning of three bytes
		"/a\xe2\x82":             "/a\uFFFD",            // cut off by the end
		"/a\xe2\xe2\x82\xacb":    "/a\uFFFD€b",          //
		"/\xf0\x9f\x98x":         "/\uFFFDx",            //
		"/\xed\xa0\x80":          "/\uFFFD\uFFFD\uFFFD", // a surrogate
		"/\xe0\x80\x80":          "/\uFFFD\uFFFD\uFFFD", // overlong
		"/\xf4\x90\x80\x80":      "/\uFFFD\uFFFD\uFFFD\uFFFD",
		"/\xc1\x81":              "/\uFFFD\uFFFD",
		"/\uFFFD is a character": "/\uFFFD is a character",
	} {
		if got := RegistryKey(in); got != want {
			t.Errorf("RegistryKey(%q) is %q, want %q", in, got, want)
		}
	}
	var reg Registry
	reg.Set("/a\xff", "x")
	if name, ok := reg.Lookup("/a\xff"); !ok || name != "x" {
		t.Error("a path that is no UTF-8 is not found again")
	}
}

func TestPhysical(t *testing.T) {
	root := root(t)
	must(t, os.MkdirAll(filepath.Join(root, "real/sub"), 0o755))
	must(t, os.Symlink("real", filepath.Join(root, "link")))
	must(t, os.Symlink("nowhere", filepath.Join(root, "dangling")))
	write(t, filepath.Join(root, "file"), "")
	for _, tc := range []struct {
		path, phys string
		exists     bool
	}{
		{"real/sub", "real/sub", true},
		{"link/sub", "real/sub", true},
		{"link/sub/", "real/sub", true},
		{"link/sub/..", "real", true},
		{"link/new/deep", "real/new/deep", false},
		{"link/new/../sub2", "real/sub2", false},
		{"link/new/../sub", "real/sub", true}, // the kernel would not find it, but it is what was meant
		{"dangling", "dangling", false},
		{"dangling/x", "dangling/x", false},
		{"none", "none", false},
	} {
		phys, exists, err := Physical(root + "/" + tc.path)
		if err != nil || phys != filepath.Join(root, tc.phys) || exists != tc.exists {
			t.Errorf("Physical(%s) is %s, %v, %v", tc.path, phys, exists, err)
		}
	}
	if phys, ok, err := Physical("/"); phys != "/" || !ok || err != nil {
		t.Errorf("Physical(/) is %s, %v, %v", phys, ok, err)
	}
	for _, path := range []string{"rel", "", root + "/file/x"} {
		if phys, _, err := Physical(path); err == nil {
			t.Errorf("Physical(%q) is %s, want an error", path, phys)
		}
	}
}

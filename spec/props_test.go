package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gopkg.in/yaml.v3"
	"pgregory.net/rapid"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// hash4 is the suffix of home-and-daemon.md 5.3 step 4.
func hash4(t *testing.T, cwd string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(cwd))
	return hex.EncodeToString(sum[:2])
}

// TestPatterns holds the patterns of the schema to the rules that the loader asks.
func TestPatterns(t *testing.T) {
	name, handle := regexp.MustCompile(namePattern), regexp.MustCompile(handlePattern)
	text := rapid.OneOf(rapid.StringMatching(`[a-zA-Z0-9_. -]{0,40}`), rapid.StringMatching(`[a-b_-]{0,5}`), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		s := text.Draw(t, "s")
		if got, want := name.MatchString(s) && len(s) <= nameMax, home.Sanitize(s) == s; got != want {
			t.Errorf("namePattern says %v of %q, home.Sanitize %v", got, s, want)
		}
		if got, want := handle.MatchString(s), identity.CheckNick(s) == nil; got != want {
			t.Errorf("handlePattern says %v of %q, identity.CheckNick %v", got, s, want)
		}
	})
}

func settings(t *rapid.T, label string) Settings {
	s := Settings{
		Reach:    rapid.SampledFrom([]Reach{ReachLocal, ReachFederation, ReachBoth}).Draw(t, label+" reach"),
		Notify:   rapid.Bool().Draw(t, label+" notify"),
		Interval: time.Duration(rapid.IntRange(1, 24*60*60).Draw(t, label+" interval")) * time.Second,
	}
	s.Daemon.On = rapid.Bool().Draw(t, label+" daemon")
	s.Daemon.Takeover = s.Daemon.On && rapid.Bool().Draw(t, label+" takeover")
	return s
}

// anyFile draws a file that Load accepts, with names that a careless writer of YAML gets wrong.
func anyFile(t *rapid.T) *File {
	f := NewFile()
	f.Name = rapid.SampledFrom([]string{"", "laptop", "007", "true", "1.5", "2026-05-20"}).Draw(t, "owner")
	f.Relays.Local.Managed = rapid.Bool().Draw(t, "managed")
	f.Relays.Local.URL = rapid.SampledFrom([]string{DefaultLocalURL, "http://[::1]:1", "http://localhost:65535"}).Draw(t, "local")
	f.Relays.Federation.URL = rapid.SampledFrom([]string{DefaultFederationURL, "http://relay.example:8080/team"}).Draw(t, "federation")
	f.Defaults = settings(t, "defaults")
	names := rapid.SliceOfNDistinct(rapid.OneOf(
		rapid.StringMatching(`[a-z0-9_]{2,8}-[a-z0-9]{2,8}`),
		rapid.SampledFrom([]string{"007", "no", "on", "null-1", "1e3", "0x1f", "true", "yes", "12_3"}),
	), 0, 6, rapid.ID).Draw(t, "names")
	for i, name := range names {
		e := Entry{Name: name, Settings: f.Defaults}
		if rapid.Bool().Draw(t, "own settings") {
			e.Settings = settings(t, name)
		}
		if rapid.Bool().Draw(t, "dir") {
			e.Dir = fmt.Sprint(rapid.SampledFrom([]string{"~/src/", "${HOME}/", "/srv/a: b #", "../", "* ", "- ", "%"}).Draw(t, "where"), i)
		}
		if rapid.Bool().Draw(t, "handle") {
			e.Handle = fmt.Sprintf("handle-%d", i)
			e.Hidden = rapid.Bool().Draw(t, "hidden")
		}
		f.Sessions = append(f.Sessions, e)
	}
	f.Mesh.Full = rapid.Bool().Draw(t, "full")
	if !f.Mesh.Full && len(names) >= 2 {
		f.Mesh.Groups = rapid.SliceOfN(rapid.Map(rapid.Permutation(names), func(all []string) []string {
			return all[:2+len(all[0])%(len(all)-1)]
		}), 0, 3).Draw(t, "groups")
		if len(f.Mesh.Groups) == 0 {
			f.Mesh.Groups = nil
		}
	}
	return f
}

// TestEncode: what Encode writes, Load reads as the same file and the schema accepts.
func TestEncode(t *testing.T) {
	schema := compileSchema(t)
	rapid.Check(t, func(t *rapid.T) {
		f := anyFile(t)
		text := f.Encode()
		got, err := Load("wire.yaml", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(f, got, cmpopts.IgnoreUnexported(File{})); diff != "" {
			t.Fatalf("-want +got:\n%s\n%s", diff, text)
		}
		var v any
		if err := yaml.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	})
}

// TestResolveLaws: names are there, unique and their own directories, edges are sorted pairs of them, and
// the same input gives the same answer.
func TestResolveLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dirs := rapid.SliceOfNDistinct(rapid.StringMatching(`/[ab]/[a-cA -]{1,3}`), 1, 8, rapid.ID).Draw(t, "dirs")
		f := NewFile()
		registry := map[string]string{}
		for i, dir := range dirs {
			e := Entry{Dir: dir, Settings: f.Defaults}
			if rapid.IntRange(0, 3).Draw(t, "named") == 0 {
				e.Name = fmt.Sprintf("%c", 'a'+i)
			} else if rapid.Bool().Draw(t, "registered") {
				registry[dir] = rapid.StringMatching(`[a-c]{1,2}`).Draw(t, "as")
			}
			f.Sessions = append(f.Sessions, e)
		}
		f, err := Load("wire.yaml", f.Encode())
		if err != nil {
			t.Fatal(err)
		}
		d, err := Resolve(f, machine(registry))
		again, err2 := Resolve(f, machine(registry))
		if diff := cmp.Diff(d, again); diff != "" || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("two answers: %s %v %v", diff, err, err2)
		}
		if err != nil {
			t.Skip(err)
		}
		seen := map[string]bool{}
		for _, s := range d.Sessions {
			if s.Name == "" || seen[s.Name] || home.Sanitize(s.Name) != s.Name {
				t.Errorf("bad name %q", s.Name)
			}
			if was, ok := registry[s.Dir]; ok && was != s.Name {
				t.Errorf("%s is registered as %s, became %s", s.Dir, was, s.Name)
			}
			seen[s.Name] = true
		}
		last := [2]string{}
		for _, e := range d.Edges {
			if !seen[e[0]] || !seen[e[1]] || e[0] >= e[1] || last[0] > e[0] || last[0] == e[0] && last[1] >= e[1] {
				t.Errorf("edge %v after %v", e, last)
			}
			last = e
		}
		if n := len(d.Sessions); len(d.Edges) != n*(n-1)/2 {
			t.Errorf("%d edges of %d sessions", len(d.Edges), n)
		}
	})
}

// TestLimits: files that no machine should take up are refused quickly and with a reason.
func TestLimits(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		b.WriteString("version: 1\nsessions:\n")
		for i := range n {
			fmt.Fprintf(&b, "  - name: s%d\n", i)
		}
		return b.String()
	}
	bomb := "version: 1\nsessions: [{name: a1}, {name: b1}]\nmesh:\n  - &g [" +
		strings.TrimSuffix(strings.Repeat("a1, ", 1000), ", ") + "]\n" + strings.Repeat("  - *g\n", 1000)
	for _, tc := range []struct{ what, text, want string }{
		{"size", strings.Repeat("# a comment\n", 1<<17), "f: is 1572864 bytes long; a wire.yaml has at most 1048576"},
		{"sessions", many(1001), "f:3:3: the file has 1001 sessions; at most 1000 are supported"},
		{"aliases", bomb, "more than 200000 values, aliases included"},
		{"problems", "version: 1\nsessions: [" + strings.Repeat("7, ", 5000) + "]", "and more; only the first 200 are listed"},
		{"depth", strings.Repeat("[", 5000), `f:1:1: "[" opens here and does not close, or holds a fault`},
	} {
		t.Run(tc.what, func(t *testing.T) {
			_, err := Load("f", []byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %.300v, want %s", err, tc.want)
			}
		})
	}
	f, err := Load("f", []byte(many(1000)))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Resolve(f, machine(nil))
	if err != nil || len(d.Edges) != 499_500 {
		t.Errorf("1000 sessions: %v", err)
	}
}

func TestDidYouMean(t *testing.T) {
	words := []string{"web", "api", "press-desk", "docs"}
	for typed, want := range map[string]string{
		"wbe": "web", "we": "web", "apii": "api", "ap": "api", "pres-dsk": "press-desk", "DOCS": "docs",
		"": "", "x": "", "frontend": "", strings.Repeat("web", 100): "",
	} {
		if want != "" {
			want = fmt.Sprintf("; did you mean %q?", want)
		}
		if got := didYouMean(typed, words); got != want {
			t.Errorf("didYouMean(%q) = %q, want %q", typed, got, want)
		}
	}
}

// FuzzLoad: Load never panics, and whatever it reports stands inside the file.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml"} {
		for _, path := range glob(f, pattern) {
			f.Add(read(f, path))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Load("f", data)
		if err == nil {
			again, err := Load("f", file.Encode())
			if err != nil {
				t.Fatalf("%v\n%s", err, file.Encode())
			}
			if diff := cmp.Diff(file, again, cmpopts.IgnoreUnexported(File{})); diff != "" {
				t.Fatalf("-want +got:\n%s", diff)
			}
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("%T, want Problems", err)
		}
		lines := strings.Split(string(data), "\n")
		for i, p := range problems {
			if p.Text == "" || !utf8.ValidString(p.Text) || strings.ContainsAny(p.Text, "\n\r") {
				t.Errorf("text %q", p.Text)
			}
			if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > utf8.RuneCountInString(lines[p.Line-1])+1 {
				t.Errorf("%v is outside of the file", p)
			}
			if i > 0 && (problems[i-1].Line > p.Line || problems[i-1].Line == p.Line && problems[i-1].Column > p.Column) {
				t.Errorf("%v stands after %v", p, problems[i-1])
			}
		}
	})
}

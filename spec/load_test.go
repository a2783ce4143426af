package spec

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "write schema.json and the golden files")

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func glob(t testing.TB, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no %s: %v", pattern, err)
	}
	return paths
}

// TestBadFiles compares all that Load says of each faulty file with the .txt beside it.
func TestBadFiles(t *testing.T) {
	for _, path := range glob(t, "testdata/bad/*.yaml") {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			f, err := Load("wire.yaml", read(t, path))
			var problems Problems
			if !errors.As(err, &problems) || f != nil {
				t.Fatalf("Load = %v, %v, want Problems", f, err)
			}
			got := err.Error() + "\n"
			golden := strings.TrimSuffix(path, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(read(t, golden)), got); diff != "" {
				t.Errorf("-want +got, -update writes it:\n%s", diff)
			}
			if strings.Contains(got, "secret") || strings.Contains(got, "s3cret") {
				t.Errorf("a password of the file is in the error:\n%s", got)
			}
		})
	}
}

func load(t testing.TB, path string) *File {
	t.Helper()
	f, err := Load(path, read(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestGoodFiles(t *testing.T) {
	plain := Settings{Reach: ReachLocal, Daemon: Daemon{On: true}, Interval: 5 * time.Second}
	relays := NewFile().Relays
	settings := func(change func(*Settings)) Settings {
		s := plain
		change(&s)
		return s
	}
	quiet := settings(func(s *Settings) { s.Daemon, s.Interval = Daemon{}, 2*time.Minute })
	for name, want := range map[string]File{
		"least": {Version: 1, Relays: relays, Defaults: plain, Sessions: []Entry{}, Mesh: Mesh{Full: true}},
		"json": {Version: 1, Relays: relays, Defaults: plain, Sessions: []Entry{
			{Name: "api", Settings: plain}, {Name: "web", Settings: plain},
		}},
		"full": {Version: 1, Name: "laptop", Relays: relays, Defaults: plain, Sessions: []Entry{
			{Name: "api", Dir: "~/src/api", Settings: plain},
			{Dir: "~/src/web", Settings: plain},
			{Name: "press", Handle: "press-desk", Hidden: true, Settings: Settings{
				Reach: ReachBoth, Daemon: Daemon{On: true, Takeover: true}, Notify: true, Interval: 90 * time.Second,
			}},
		}, Mesh: Mesh{Groups: [][]string{{"api", "web"}, {"web", "press"}}}},
		"aliases": {Version: 1, Relays: relays, Defaults: quiet, Sessions: []Entry{
			{Name: "api", Settings: quiet}, {Name: "web", Settings: quiet}, {Name: "docs", Settings: quiet},
		}, Mesh: Mesh{Groups: [][]string{{"api", "web"}}}},
		"relays": {Version: 1, Relays: Relays{
			Local:      LocalRelay{URL: "http://[::1]:18771"},
			Federation: FederationRelay{URL: "https://relay.example/team"},
		}, Defaults: plain, Sessions: []Entry{
			{Name: "desk", Settings: settings(func(s *Settings) { s.Reach = ReachFederation })},
			{Name: "a", Handle: "a-one", Settings: settings(func(s *Settings) { s.Reach = ReachBoth })},
			{Name: "b", Settings: plain},
		}, Mesh: Mesh{Full: true}},
	} {
		t.Run(name, func(t *testing.T) {
			got := load(t, "testdata/good/"+name+".yaml")
			if diff := cmp.Diff(want, *got, cmpopts.IgnoreUnexported(File{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

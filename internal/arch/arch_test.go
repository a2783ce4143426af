// Package arch is a test only: it holds the house rules of design.md section 1 that the compiler does not.
package arch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "wirefleet.dev/wire/"
)

// room is a package: which others of ours it may import, and why no more. A name that ends in / stands for
// all that is below it.
type room struct {
	imports []string
	because string
}

var house = map[string]room{
	"internal/canon": {
		nil, "canonical JSON is the ground floor: everything else is written in it",
	},
	"internal/identity": {
		[]string{"internal/canon"}, "keys, cards and signatures are pure: they know bytes, no files and no network",
	},
	"internal/home": {
		[]string{"internal/canon", "internal/identity"}, "files hold identities; what runs or listens does not concern them",
	},
	"internal/process": {
		[]string{"internal/canon", "internal/home"}, "a process is proven by files of its home; what it does there is its own affair",
	},
	"internal/relay": {
		[]string{"internal/canon", "internal/identity", "internal/process"},
		"a relay serves strangers: it knows cards and its own store, never a session's home",
	},
	"internal/relay/client": {
		[]string{"internal/canon", "internal/identity"}, "the client speaks HTTP for whoever holds a token; where that comes from is not its affair",
	},
	forTests: {
		[]string{"internal/relay"}, "it serves relays to tests, and whoever imports it is one",
	},
	"internal/census": {
		[]string{"internal/canon", "internal/home", "internal/identity", "internal/process", "internal/relay/client"},
		"it looks at the machine for listings and for reconcile alike, so it knows no wish",
	},
	"internal/service": {
		[]string{"internal/home", "internal/process"},
		"a unit is a text and a few words to its manager; what runs in it is not its affair",
	},
	"internal/health": {
		[]string{
			"internal/canon", "internal/census", "internal/enroll", "internal/home", "internal/identity", "internal/mailbox",
			"internal/pairing", "internal/process", "internal/relay/client",
		},
		"status, doctor and plan take their facts from it, so it looks into every room and knows no wish",
	},
	"internal/enroll": {
		[]string{"internal/canon", "internal/home", "internal/identity", "internal/relay/client"},
		"becoming somebody takes files and a relay; whom one then knows is pairing's affair",
	},
	"internal/pairing": {
		[]string{"internal/canon", "internal/home", "internal/identity", "internal/relay/client"},
		"pins are files and slots; whoever wants an edge says so from above",
	},
	"internal/upkeep": {
		[]string{"internal/census", "internal/home", "internal/process"},
		"it starts what is not there; what the started one does is not its affair",
	},
	"internal/diag": {
		[]string{"internal/canon", "internal/home"}, "a trace says what others tell it: it knows where it stands and no more",
	},
	"internal/mailbox": {
		[]string{"internal/canon", "internal/diag", "internal/home", "internal/identity", "internal/relay/client"},
		"messages move between files and slots, whether or not a daemon runs",
	},
	"internal/daemon": {
		[]string{
			"internal/canon", "internal/home", "internal/identity", "internal/mailbox", "internal/pairing",
			"internal/process", "internal/relay/client",
		},
		"the daemon is the mailbox kept going; every package linked into it costs each session memory, the relay's server too",
	},
	"internal/notify": {
		[]string{"internal/canon", "internal/home", "internal/mailbox", "internal/process"},
		"what arrives is shown on a desktop; whether somebody wants that is decided above",
	},
	"internal/reactor": {
		[]string{"internal/canon", "internal/home", "internal/identity", "internal/mailbox", "internal/process"},
		"what a message sets off is a command of the operator's; the reactor reads and starts, no more",
	},
	"internal/vitals": {
		nil, "figures and a listener: whoever watches tells it what to show",
	},
	"internal/mcp": {
		[]string{"internal/"}, "the MCP server is the top of the machinery and reaches all of it, but no wish",
	},
	"spec": {
		[]string{"internal/home", "internal/identity"}, "a wish is pure: it needs the rules for names and opens no file",
	},
	"reconcile": {
		[]string{"spec", "internal/"}, "the heart knows actuators only as the interface it declares",
	},
	"actuators": {
		[]string{"reconcile", "spec", "internal/"}, "an actuator makes one change true; who asked for it stands above",
	},
	"verbs": {
		[]string{"actuators", "reconcile", "spec", "internal/"}, "an imperative verb is a small plan: what it decides, actuators do",
	},
	"cmd/storm": {
		[]string{"internal/"}, "the storm strikes from outside: it knows files, locks and processes, no wish and no plan",
	},
	"cmd/wire": {
		[]string{"verbs", "actuators", "reconcile", "spec", "internal/"}, "the front door opens on every room",
	},
}

// forTests is what no program contains. The imports that are looked at are those of no test.
const forTests = "internal/relay/relaytest"

func (r room) mayImport(path string) bool {
	return path != forTests && slices.ContainsFunc(r.imports, func(allowed string) bool {
		return path == allowed || strings.HasSuffix(allowed, "/") && strings.HasPrefix(path, allowed)
	})
}

// TestImportsRunOneWay reads what each package imports on each system and refuses what the house does not
// allow.
func TestImportsRunOneWay(t *testing.T) {
	for _, goos := range []string{"linux", "darwin"} {
		cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,GoFiles", "./...")
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		seen := 0
		for dec := json.NewDecoder(bytes.NewReader(out)); ; {
			var p struct {
				ImportPath       string
				Imports, GoFiles []string
			}
			if err := dec.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if len(p.GoFiles) == 0 {
				continue // tests only
			}
			seen++
			name := strings.TrimPrefix(p.ImportPath, module)
			r, ok := house[name]
			if !ok {
				t.Errorf("%s has no place in the house: say in arch_test.go what it may import and why no more", name)
				continue
			}
			for _, path := range p.Imports {
				if path, ours := strings.CutPrefix(path, module); ours && !r.mayImport(path) {
					t.Errorf("%s (%s) imports %s, and must not: %s", name, goos, path, r.because)
				}
			}
		}
		if seen < 10 {
			t.Errorf("go list showed %d packages for %s", seen, goos)
		}
	}
}

// doors are what only some rooms may use: functions, and text that must stand in one place.
var doors = []struct {
	uses    []string       // package.Name
	text    *regexp.Regexp // string literals
	only    []string
	because string
}{
	{
		uses: []string{
			"fmt.Print", "fmt.Printf", "fmt.Println", "os.Stdout", "os.Stderr", "os.Stdin", "os.Exit",
			"log.Print", "log.Printf", "log.Println", "log.Fatal", "log.Fatalf", "log.Fatalln",
		},
		only:    []string{"cmd/wire", "cmd/storm"},
		because: "nothing below cmd prints or exits: callers decide what people see",
	},
	{
		uses: []string{
			"syscall.Kill", "unix.Kill", "unix.PidfdSendSignal", "unix.Tgkill", "os.FindProcess", "os.StartProcess",
			"exec.Command", "exec.CommandContext", "syscall.ForkExec", "syscall.Exec",
		},
		only:    []string{"internal/process", "cmd/storm"}, // the storm kills on purpose
		because: "only a process that has been proven is signalled, and only internal/process proves",
	},
	{
		text:    regexp.MustCompile(`^/(v1/|healthz|\.well-known/)`),
		only:    []string{"internal/relay", "internal/relay/client", "internal/vitals"},
		because: "only the relay and its client know an HTTP path, and a watcher's own server its three",
	},
	{
		text: regexp.MustCompile(`^(private\.key|agent-card\.json|trust\.json|relay\.json|registry\.json|(daemon|notify)\.pid|` +
			`(apply|watch|registry|relay|daemon|notify|pull|push)\.lock|managed\.json|watch\.json|outbox-sent\.json)$`),
		only:    []string{"internal/home"},
		because: "only internal/home knows the name of a session's file",
	},
}

// TestDoors looks for what only some rooms may use, in all files for all systems.
func TestDoors(t *testing.T) {
	used := make([]bool, len(doors))
	eachFile(t, func(room, path string, file *ast.File, fset *token.FileSet) {
		check := func(n ast.Node, matches func(i int) bool, what string) {
			for i, d := range doors {
				if !matches(i) {
					continue
				}
				used[i] = true
				if !slices.Contains(d.only, room) {
					t.Errorf("%s: %s uses %s: %s", fset.Position(n.Pos()), room, what, d.because)
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Obj == nil {
					name := pkg.Name + "." + n.Sel.Name
					check(n, func(i int) bool { return slices.Contains(doors[i].uses, name) }, name)
				}
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
					check(n, func(i int) bool { return doors[i].text != nil && doors[i].text.MatchString(text) }, n.Value)
				}
			}
			return true
		})
	})
	for i, d := range doors {
		if !used[i] {
			t.Errorf("nobody uses the door of %v: the pattern no longer finds what it guards", d.only)
		}
	}
}

// eachFile calls do for every source file but tests.
func eachFile(t *testing.T, do func(room, path string, file *ast.File, fset *token.FileSet)) {
	t.Helper()
	eachPath(t, func(path string) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		room, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		do(filepath.ToSlash(room), path, file, fset)
	})
}

// eachTestFile calls do for every file of tests.
func eachTestFile(t *testing.T, do func(path string)) {
	t.Helper()
	eachPath(t, func(path string) {
		if strings.HasSuffix(path, "_test.go") {
			do(path)
		}
	})
}

// eachPath calls do for every Go file.
func eachPath(t *testing.T, do func(path string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || d.Name() == "bin"):
			return fs.SkipDir
		case d.IsDir(), !strings.HasSuffix(path, ".go"):
			return nil
		}
		do(path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// byName is how processes are ended by what they are called, which is how working fleets die.
var byName = regexp.MustCompile(`\b(pkill|killall|pidof)\b`)

// TestNobodyIsToldToKillByName looks for such advice in what the programs say and the pages for people show
// (field-failures A8).
func TestNobodyIsToldToKillByName(t *testing.T) {
	eachFile(t, func(_, _ string, file *ast.File, fset *token.FileSet) {
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && byName.MatchString(lit.Value) {
				t.Errorf("%s: %s", fset.Position(lit.Pos()), lit.Value)
			}
			return true
		})
	})
	err := filepath.WalkDir(filepath.Join(root, "examples"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if byName.Match(text) {
			t.Errorf("%s: %s", path, byName.Find(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var mdLink = regexp.MustCompile(`\]\(([^)#:\s]+)(#[^)]*)?\)`)

// TestLinks: what the pages for people link to within the project is there.
func TestLinks(t *testing.T) {
	for _, pattern := range []string{"*.md", "examples/*.md", "examples/*/*.md"} {
		pages, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(bytes.NewReader(text))
			for n := 1; lines.Scan(); n++ {
				for _, m := range mdLink.FindAllStringSubmatch(lines.Text(), -1) {
					if _, err := os.Stat(filepath.Join(filepath.Dir(page), filepath.FromSlash(m[1]))); err != nil {
						t.Errorf("%s:%d: the link to %s leads nowhere", page, n, m[1])
					}
				}
			}
		}
	}
}

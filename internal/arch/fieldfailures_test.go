package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Which ids may be of these classes; no others.
var (
	laterIDs = strings.Fields("C16 C17 C23 D10 F5 G18 G23 G30 G36 S8 S12 S14 S16 D9 F3 G20 G22 B20")
	naIDs    = strings.Fields("F6 S24")
	// Of these, what concerns invites and peers elsewhere comes later, and the row says so.
	partlyLater = strings.Fields("G17 S4 C10 C18")
)

// series is how many ids each letter has.
var series = []struct {
	letter string
	ids    int
}{{"A", 24}, {"B", 20}, {"C", 24}, {"D", 12}, {"E", 9}, {"F", 6}, {"G", 36}, {"S", 24}}

// failure is a row of the table.
type failure struct {
	line           int
	id, class, how string
	tests          []string
}

var (
	tableRow = regexp.MustCompile(`^\| ([A-Z]\d+) \| ([^|]*) \| ([^|]*) ?\| ([^|]*) ?\|$`)
	quoted   = regexp.MustCompile("`([^`]+)`")
)

func fieldFailures(t *testing.T) []failure {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "field-failures.md"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []failure
	for n, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| id |") || strings.HasPrefix(line, "|-") {
			continue
		}
		m := tableRow.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("docs/field-failures.md:%d: no row of the table: %s", n+1, line)
			continue
		}
		f := failure{line: n + 1, id: m[1], class: m[2], how: strings.TrimSpace(m[3])}
		for _, q := range quoted.FindAllStringSubmatch(m[4], -1) {
			f.tests = append(f.tests, q[1])
		}
		rows = append(rows, f)
	}
	return rows
}

// TestFieldFailures: each of the 155 failures that the field met stands in the table once, of a class that it
// may have, with tests that exist.
func TestFieldFailures(t *testing.T) {
	rows := fieldFailures(t)
	count := map[string]int{}
	tests := findTests(t)
	for _, f := range rows {
		at := fmt.Sprintf("docs/field-failures.md:%d: %s", f.line, f.id)
		count[f.id]++
		switch f.class {
		case "repaired", "reported", "prevented":
			if slices.Contains(laterIDs, f.id) || slices.Contains(naIDs, f.id) {
				t.Errorf("%s is %s", at, f.class)
			}
			if f.how == "" {
				t.Errorf("%s does not say how its test makes the condition", at)
			}
			if len(f.tests) == 0 {
				t.Errorf("%s names no test", at)
			}
		case "later":
			if !slices.Contains(laterIDs, f.id) {
				t.Errorf("%s must not wait for later", at)
			}
		case "not applicable":
			if !slices.Contains(naIDs, f.id) {
				t.Errorf("%s concerns us", at)
			}
		default:
			t.Errorf("%s: no class is called %q", at, f.class)
		}
		if slices.Contains(partlyLater, f.id) && len(f.tests) > 0 && !strings.Contains(f.how, ": later)") {
			t.Errorf("%s does not say what of it comes later", at)
		}
		for _, name := range f.tests {
			if !tests.has(name) {
				t.Errorf("%s: there is no test %s", at, name)
			}
		}
	}
	for _, s := range series {
		for n := range s.ids {
			id := s.letter + strconv.Itoa(n+1)
			if count[id] != 1 {
				t.Errorf("%s stands in the table %d times", id, count[id])
			}
			delete(count, id)
		}
	}
	for id := range count {
		t.Errorf("there is no failure %s", id)
	}
}

// owed is what the tests of a class have in them, whatever else they show.
var owed = map[string][]*regexp.Regexp{
	"repaired": {regexp.MustCompile(`\bplan|Plan\b`), regexp.MustCompile(`\bapply\b|\bconverge\b|\bwatching\b`)},
	"reported": {
		regexp.MustCompile(`\bdrift\b`), regexp.MustCompile(`\bnext: |apply cannot: `),
		regexp.MustCompile(`\bdoctor\b`), regexp.MustCompile(`\bfix: `),
	},
}

// TestFailuresAreShown: the tests of what is repaired plan and apply; those of what is reported ask drift and doctor, and
// look for the advice of both.
func TestFailuresAreShown(t *testing.T) {
	tests := findTests(t)
	for _, f := range fieldFailures(t) {
		var all strings.Builder
		for _, name := range f.tests {
			text, err := os.ReadFile(tests.file(name))
			if err != nil {
				t.Error(err)
			}
			all.Write(text)
		}
		for _, what := range owed[f.class] {
			if !what.MatchString(all.String()) {
				t.Errorf("docs/field-failures.md:%d: %s is %s, and its tests have no match for %s", f.line, f.id, f.class, what)
			}
		}
	}
}

// testNames are the tests of the project.
type testNames struct {
	scripts map[string]bool
	funcs   map[string]map[string]string // of a package, by the base of its directory: the file of each test function
	cases   map[string]map[string]bool   // of a file of tests: the texts in it, which may be names of cases
	data    map[string]string            // its JSON test data, where vectors are named
}

// has says whether a script, package.TestName or package.TestName/case exists.
func (n testNames) has(name string) bool {
	if strings.HasSuffix(name, ".txtar") {
		return n.scripts[name]
	}
	name, test, _ := strings.Cut(name, "/")
	pkg, fn, ok := strings.Cut(name, ".")
	file, there := n.funcs[pkg][fn]
	if !ok || !there {
		return false
	}
	return test == "" || n.cases[file][test] || strings.Contains(n.data[pkg], strconv.Quote(test))
}

// file is where a test is.
func (n testNames) file(name string) string {
	if strings.HasSuffix(name, ".txtar") {
		return filepath.Join(root, "cmd", "wire", "testdata", "script", name)
	}
	name, _, _ = strings.Cut(name, "/")
	pkg, fn, _ := strings.Cut(name, ".")
	return n.funcs[pkg][fn]
}

func findTests(t *testing.T) testNames {
	t.Helper()
	n := testNames{map[string]bool{}, map[string]map[string]string{}, map[string]map[string]bool{}, map[string]string{}}
	eachTestFile(t, func(path string) {
		pkg := filepath.Base(filepath.Dir(path))
		if n.funcs[pkg] == nil {
			n.funcs[pkg] = map[string]string{}
		}
		n.cases[path] = map[string]bool{}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.FuncDecl:
				if node.Recv == nil && strings.HasPrefix(node.Name.Name, "Test") {
					n.funcs[pkg][node.Name.Name] = path
				}
			case *ast.BasicLit:
				if text, err := strconv.Unquote(node.Value); err == nil && node.Kind == token.STRING {
					n.cases[path][text] = true
				}
			}
			return true
		})
	})
	for pattern, add := range map[string]func(string){
		filepath.Join(root, "cmd", "wire", "testdata", "script", "*.txtar"): func(path string) {
			n.scripts[filepath.Base(path)] = true
		},
		filepath.Join(root, "internal", "*", "testdata", "*.json"): func(path string) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			n.data[filepath.Base(filepath.Dir(filepath.Dir(path)))] += string(text)
		},
	} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(paths), err)
		}
		for _, path := range paths {
			add(path)
		}
	}
	return n
}

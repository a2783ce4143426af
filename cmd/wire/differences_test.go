package main_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDifferences: every row of docs/differences.md names tests that are there. That the records of a row do
// differ is TestReplay's to say.
func TestDifferences(t *testing.T) {
	rows, err := differenceTable()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) == 0 {
		t.Fatal("no rows")
	}
	known, err := testNames(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for id, names := range rows {
		for _, name := range names {
			if !known[name] {
				t.Errorf("%s: there is no test %s", id, name)
			}
		}
		if len(names) == 0 {
			t.Errorf("%s has no test", id)
		}
	}
}

// testNames are the test functions below a directory, and the files of tests and scripts.
func testNames(root string) (map[string]bool, error) {
	names := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		switch {
		case strings.HasSuffix(path, ".txtar"):
			names[filepath.Base(path)] = true
		case strings.HasSuffix(path, "_test.go"):
			names[filepath.Base(path)] = true
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range function.FindAllSubmatch(data, -1) {
				names[string(m[1])] = true
			}
		}
		return nil
	})
	return names, err
}

var cell = regexp.MustCompile(`[^\s,]+`)

// differenceTable is the rows of docs/differences.md: the id, and the tests.
func differenceTable() (map[string][]string, error) {
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "differences.md"))
	if err != nil {
		return nil, err
	}
	rows := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(line, "|")
		if len(cells) < 8 {
			continue
		}
		id := strings.Trim(strings.TrimSpace(cells[1]), "`")
		if id == "id" || strings.Trim(id, "-") == "" {
			continue
		}
		if _, twice := rows[id]; twice {
			return nil, fmt.Errorf("docs/differences.md: two rows %s", id)
		}
		rows[id] = cell.FindAllString(cells[len(cells)-2], -1)
	}
	return rows, nil
}

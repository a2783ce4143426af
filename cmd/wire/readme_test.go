package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wirefleet.dev/wire/spec"
)

// readme is the project's page and its fenced blocks, by the text that stands before each one.
func readme(t *testing.T) (text string, blocks []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	check(t, err)
	text = string(data)
	for _, m := range regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	return text, blocks
}

// block is the one fenced block that contains mark.
func block(t *testing.T, blocks []string, mark string) string {
	t.Helper()
	for _, b := range blocks {
		if strings.Contains(b, mark) {
			return b
		}
	}
	t.Fatalf("README.md has no block with %q", mark)
	return ""
}

// The file that the README shows is one that wire takes.
func TestReadmeFile(t *testing.T) {
	_, blocks := readme(t)
	if _, err := spec.Load("README.md", []byte(block(t, blocks, "dir: ~/src/api"))); err != nil {
		t.Error(err)
	}
}

// The README's first command does what it says, and a second run of it changes nothing. Only the build is
// left out and the relay's address replaced, for both belong to the test.
func TestReadmeTry(t *testing.T) {
	p := placeFor(t)
	_, blocks := readme(t)
	example, err := os.ReadFile(filepath.Join("..", "..", "wire.yaml.example"))
	check(t, err)
	p.file(t, "wire.yaml.example", strings.ReplaceAll(string(example), "http://127.0.0.1:18771", "http://"+p.relay))
	check(t, os.Symlink(suite.bin, filepath.Join(p.dir, "bin")))
	script := block(t, blocks, "go build -o bin/wire")
	script = strings.Replace(script, "CGO_ENABLED=0 go build -o bin/wire ./cmd/wire\n", "", 1)
	script = strings.ReplaceAll(script, "$PWD/.wire", p.wh)
	run := func() string {
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
		cmd.Dir, cmd.Env = p.dir, p.env()
		return must(t, cmd)
	}
	first := run()
	for _, want := range []string{"+ relay ", "+ session  api ", "+ daemon   press ", "Running now:", "To look:", "To end it:"} {
		if !strings.Contains(first, want) {
			t.Errorf("the first run does not say %q:\n%s", want, first)
		}
	}
	if again := run(); !strings.Contains(again, "nothing to do (4 sessions, 6 edges)") {
		t.Errorf("the second run changed something:\n%s", again)
	}
}

// What the README shows of a plan is what a plan on a fresh machine prints.
func TestReadmePlan(t *testing.T) {
	p := placeFor(t)
	_, blocks := readme(t)
	example, err := os.ReadFile(filepath.Join("..", "..", "wire.yaml.example"))
	check(t, err)
	p.file(t, "wire.yaml", strings.ReplaceAll(string(example), "http://127.0.0.1:18771", "http://"+p.relay))
	shown := block(t, blocks, "$ wire plan\n")
	_, shown, _ = strings.Cut(shown, "$ wire plan\n")
	shown, _, _ = strings.Cut(shown, "$ wire apply\n")
	got := strings.ReplaceAll(must(t, p.wire("plan")), "http://"+p.relay, "http://127.0.0.1:18771")
	if got != shown {
		t.Errorf("the README shows\n%s\nand a plan prints\n%s", shown, got)
	}
}

// The mistakes that the README shows are reported in these words.
func TestReadmeMistakes(t *testing.T) {
	_, blocks := readme(t)
	shown := strings.TrimSpace(block(t, blocks, "did you mean"))
	file := "version: 1\nsessions:\n  - name: api\n  - name: web\n    dri: ~/src/web\n\n\n\n\n\n\n\n# below\nmesh: [[  wbe, api]]\n"
	_, err := spec.Load("wire.yaml", []byte(file))
	if err == nil || err.Error() != shown {
		t.Errorf("the README shows\n%s\nand wire says\n%v", shown, err)
	}
}

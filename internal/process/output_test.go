package process

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func TestOutput(t *testing.T) {
	for _, c := range []struct {
		script, stdout, err string
	}{
		{"echo yes", "yes\n", ""},
		{"cat; echo end", "end\n", ""}, // nobody types
		{"echo no; echo why >&2; echo more >&2; exit 3", "no\n", "sh: exit status 3: why"},
		{"exit 4", "", "sh: exit status 4"},
	} {
		out, err := Output(t.Context(), "sh", "-c", c.script)
		said := ""
		if err != nil {
			said = err.Error()
		}
		if said != c.err || out != c.stdout {
			t.Errorf("%s: %q, %v", c.script, out, err)
		}
	}
	if _, err := Output(t.Context(), "no-such-program-of-ours"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Output(ctx, "sh", "-c", "exec sleep 1000"); !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "sh: ") {
		t.Error(err)
	}
}

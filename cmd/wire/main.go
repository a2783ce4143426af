// Command wire keeps a machine's AI-agent sessions in the state that a wire.yaml describes.
//
// Law of the room: it reads flags and prints; it decides nothing and touches no file but through the rooms
// below it. One file per group of commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"wirefleet.dev/wire/internal/home"
)

// version is our own; release builds set it with -ldflags "-X main.version=...".
var version = "0.1.0-dev"

// level is the version of the reference whose formats we speak; scripts look for it in --version.
const level = "0.6.10"

func main() {
	ctx, stop := untilSignal(context.Background())
	defer stop()
	os.Exit(execute(ctx, os.Args[1:], std()))
}

// streams are what a command talks through.
type streams struct {
	in       io.Reader
	out, err io.Writer
	terminal bool // err is a terminal: progress may be redrawn
	colour   bool // out is a terminal and NO_COLOR is not set
}

func std() streams {
	_, plain := os.LookupEnv("NO_COLOR")
	return streams{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		terminal: term.IsTerminal(int(os.Stderr.Fd())),
		colour:   !plain && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(os.Stdout.Fd())),
	}
}

// app is what every command's Run gets.
type app struct {
	streams
	ctx context.Context
	env home.Env
}

// untilSignal ends with the first SIGINT or SIGTERM; a second one exits at once.
func untilSignal(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	got := make(chan os.Signal, 2)
	signal.Notify(got, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-got
		cancel()
		<-got
		os.Exit(130)
	}()
	return ctx, func() { signal.Stop(got); cancel() }
}

// exit is an error that has said what it had to say: only its status is left.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// usage is a mistake in the arguments that kong cannot see.
type usage struct{ error }

// execute runs one command line and returns its exit status.
func execute(ctx context.Context, args []string, s streams) int {
	if code, ok := background(ctx, args, s); ok {
		return code
	}
	a := &app{streams: s, ctx: ctx, env: home.OSEnv()}
	err := a.dispatch(args)
	var status exit
	var wrong *kong.ParseError
	var misuse usage
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &wrong), errors.As(err, &misuse):
		a.fail(err)
		fmt.Fprintf(s.err, "see `wire %s--help`\n", firstWord(args))
		return usageStatus(args)
	}
	a.fail(err)
	return 1
}

// fail prints an error the way scripts of the reference expect it: one "error: " and the causes.
func (a *app) fail(err error) {
	fmt.Fprintf(a.err, "error: %s\n", strings.TrimRight(err.Error(), "\n"))
}

func firstWord(args []string) string {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		if _, ok := find(args[0]); ok {
			return args[0] + " "
		}
	}
	return ""
}

// usageStatus is 2, but 1 where 2 means "changes pending" (design.md section 3).
func usageStatus(args []string) int {
	if len(args) > 0 && (args[0] == "plan" || args[0] == "apply") {
		return 1
	}
	return 2
}

// dispatch parses args and runs their command. Only the command that args name is built: the model of all
// of them takes longer than most commands run.
func (a *app) dispatch(args []string) error {
	options := []kong.Option{
		kong.Name("wire"),
		kong.Description("Keeps this machine's agent sessions in the state that a wire.yaml describes."),
		kong.Writers(a.out, a.err),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.ExplicitGroups(groups),
		kong.Vars{"version": "wire " + level + " (" + version + ")"},
	}
	for _, c := range selected(args) {
		options = append(options, kong.DynamicCommand(c.name, c.help, c.group, c.make()))
	}
	var root struct {
		Version kong.VersionFlag `help:"Print the version and exit." short:"V"`
	}
	parser, err := kong.New(&root, options...)
	if err != nil {
		return err
	}
	return a.parse(parser, args)
}

func (a *app) parse(parser *kong.Kong, args []string) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exit: // from --help and --version
			if r != 0 {
				err = r
			}
		default:
			panic(r)
		}
	}()
	if len(args) == 0 {
		if _, err := parser.Parse([]string{"--help"}); err != nil {
			return err
		}
		return exit(2)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return err
	}
	return parsed.Run(a)
}

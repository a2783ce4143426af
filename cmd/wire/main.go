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
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
)

// version is our own; release builds set it with -ldflags "-X main.version=...".
var version = "0.1.0-dev"

// level is the version of the reference whose formats we speak; scripts look for it in --version.
const level = "0.6.10"

func main() {
	args, s := os.Args[1:], std()
	ctx, stop := untilSignal(context.Background(), args)
	defer stop()
	client.OnInsecure(func() { fmt.Fprintln(s.err, insecure) })
	os.Exit(execute(ctx, args, s))
}

// insecure is coloured even where nobody sees colours, as in the reference: it must not be overlooked in a log.
const insecure = "\x1b[1;31mwire: WARNING\x1b[0m WIRE_INSECURE_SKIP_TLS_VERIFY=1 is set; TLS verification is DISABLED: " +
	"whoever is on the way to a relay can read slot tokens and take the mail"

// streams are what a command talks through.
type streams struct {
	in       io.Reader
	out, err io.Writer
	terminal bool // err is a terminal: progress may be redrawn
	colour   bool // out is a terminal and NO_COLOR is not set
}

func std() streams {
	_, plain := os.LookupEnv("NO_COLOR")
	able := os.Getenv("TERM") != "dumb"
	return streams{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		terminal: able && term.IsTerminal(int(os.Stderr.Fd())),
		colour:   able && !plain && term.IsTerminal(int(os.Stdout.Fd())),
	}
}

// app is what every command's Run gets.
type app struct {
	streams
	ctx     context.Context
	env     home.Env
	program *program

	adoption *home.Env  // env after session adoption, once that was done
	node     *kong.Node // the command that runs
}

// untilSignal ends with the first SIGINT or SIGTERM; a second one exits at once. The end of the terminal ends
// it, too, unless that is ignored (nohup) or means something else; it may come twice, from kernel and shell.
func untilSignal(parent context.Context, args []string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	got := make(chan os.Signal, 2)
	signal.Notify(got, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) && !looksOnHangup(args) {
		signal.Notify(got, syscall.SIGHUP)
	}
	go func() {
		<-got
		cancel()
		for s := range got {
			if s != syscall.SIGHUP {
				os.Exit(130)
			}
		}
	}()
	return ctx, func() { signal.Stop(got); cancel() }
}

// looksOnHangup says whether args are continuous mode, for which SIGHUP means to look again.
func looksOnHangup(args []string) bool {
	return len(args) > 1 && args[0] == "apply" && slices.Contains(args[1:], "--watch")
}

// exit is an error that has said what it had to say: only its status is left.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// execute runs one command line and returns its exit status.
func execute(ctx context.Context, args []string, s streams) int {
	if code, ok := background(ctx, args, s); ok {
		return code
	}
	a := &app{streams: s, ctx: ctx, env: home.OSEnv()}
	var err error
	if len(args) > 0 && args[0] == completeVerb {
		err = a.complete(args[1:])
	} else {
		err = a.dispatch(args)
	}
	var status exit
	var wrong *misuse
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &wrong):
		return a.complain(wrong)
	}
	a.fail(err)
	return 1
}

// fail prints an error the way scripts of the reference expect it: one "error: " and the causes.
func (a *app) fail(err error) {
	fmt.Fprintf(a.err, "error: %s\n", plainLines(strings.TrimRight(err.Error(), "\n")))
}

// dispatch parses args and runs their command. Only the command that args name is built: the model of all
// of them takes longer than most commands run.
func (a *app) dispatch(args []string) error {
	if len(args) > 0 && args[0] == "help" {
		args = append(args[1:len(args):len(args)], "--help")
	}
	if adopts(args) {
		a.adopted()
	}
	parser, err := a.parser(args)
	if err != nil {
		return err
	}
	if err := strict(parser.Model.Node, args); err != nil {
		return err
	}
	return a.run(parser, args)
}

// parser is the model that args need.
func (a *app) parser(args []string) (*kong.Kong, error) {
	a.program = &program{}
	options := []kong.Option{
		kong.Name("wire"),
		kong.Description("Keeps this machine's agent sessions in the state that a wire.yaml describes."),
		kong.Writers(a.out, a.err),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.Help(a.helpFor),
		kong.Vars{"version": "wire " + level + " (" + version + ")"},
	}
	for _, c := range selected(args) {
		options = append(options, c.option())
	}
	return kong.New(a.program, options...)
}

// adopts says whether args are for the session of the working directory. The reference looks for it before it
// reads them, even for --help and for mistakes; the verbs that work on the machine never do (design.md 3).
func adopts(args []string) bool {
	if len(args) == 0 {
		return true
	}
	c, ok := find(args[0])
	if ok && c.name == "status" { // of one home, or with -f of the fleet
		return !slices.ContainsFunc(args, func(arg string) bool {
			name, _, _ := strings.Cut(arg, "=")
			return name == "-f" || name == "--file"
		})
	}
	return !ok || c.group != "fleet" && c.name != "relay-server"
}

// program holds the flags of wire itself.
type program struct {
	Version kong.VersionFlag `help:"Print version" short:"V"`
}

func (a *app) run(parser *kong.Kong, args []string) (err error) {
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
	parsed, err := parser.Parse(args)
	if err != nil {
		var cannot *kong.ParseError
		if errors.As(err, &cannot) && cannot.Context.Selected() != nil {
			return &misuse{node: cannot.Context.Selected(), text: err.Error()}
		}
		return err
	}
	a.node = parsed.Selected()
	return parsed.Run(a)
}

// misuse is a mistake in the arguments that no model can see.
func (a *app) misuse(format string, args ...any) error {
	return &misuse{node: a.node, text: fmt.Sprintf(format, args...)}
}

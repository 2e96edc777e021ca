package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2 // unknown command or flag, bad configuration
)

const description = `WebRTC live streaming: publish with WHIP, watch with WHEP.

Exit codes: 0 success, 1 failure, 2 wrong usage or configuration.`

// root is the command line.
type root struct {
	Serve   ServeCmd   `cmd:"" help:"Run one node."`
	Token   TokenCmd   `cmd:"" help:"Make tokens."`
	Key     KeyCmd     `cmd:"" help:"Make, list and revoke stream keys."`
	Node    NodeCmd    `cmd:"" help:"List, drain and undrain the nodes of a cluster."`
	Publish PublishCmd `cmd:"" help:"Publish a clip to a WHIP endpoint."`
	Watch   WatchCmd   `cmd:"" help:"Watch a WHEP endpoint and print statistics."`
	Load    LoadCmd    `cmd:"" help:"Put load on a server and report what arrives."`
	Version VersionCmd `cmd:"" help:"Print the version."`
}

// usageError is an error of the caller's: exit code 2.
type usageError struct{ error }

// Unwrap returns what is wrong.
func (e usageError) Unwrap() error { return e.error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	commands := root{Serve: newServeCmd(), Token: newTokenCmd(), Key: newKeyCmd(), Node: newNodeCmd()}
	exited := -1
	parser, err := kong.New(&commands,
		kong.Name("sluice"),
		kong.Description(description),
		kong.UsageOnError(),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }), // after --help
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.BindTo(stdout, (*io.Writer)(nil)),
	)
	if err != nil {
		fmt.Fprintf(stderr, "sluice: %v\n", err)
		return exitFailure
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "sluice: %v\nRun \"sluice --help\" for the commands and flags.\n", err)
		return exitUsage
	}
	if err := command.Run(); err != nil {
		fmt.Fprintf(stderr, "sluice: %v\n", err)
		if _, ok := errors.AsType[usageError](err); ok {
			return exitUsage
		}
		return exitFailure
	}
	return exitOK
}

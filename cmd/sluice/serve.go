package main

import (
	"context"
	"io"
	"os"

	"github.com/sluice-live/sluice/internal/node"
	"github.com/sluice-live/sluice/internal/obs"
)

// ServeCmd runs one node until it is told to stop.
type ServeCmd struct {
	configFlags
	PrintConfig bool `help:"Print the configuration that the sources give, secrets masked, and exit."`
}

func newServeCmd() ServeCmd { return ServeCmd{configFlags: newConfigFlags()} }

// Help is the long help of the command.
func (ServeCmd) Help() string {
	return `Every setting is a flag, a SLUICE_ variable (--http.addr is SLUICE_HTTP_ADDR) and a key of the
YAML file. Flags win over variables, those over the file, that over the defaults. deploy/sluice.yaml
shows them all.

SIGINT or SIGTERM stops the node in order; a second one ends it at once.`
}

// Run implements the command.
func (c *ServeCmd) Run(ctx context.Context, out io.Writer) error {
	config, err := c.load()
	if err != nil {
		return err
	}
	if c.PrintConfig {
		text, err := config.YAML()
		if err != nil {
			return err
		}
		_, err = out.Write(text)
		return err
	}
	log, err := obs.NewLogger(os.Stderr, config.Log.Level, config.Log.Format)
	if err != nil {
		return usageError{err}
	}
	n, err := node.New(config, log)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, welcome(config, n.URL(), n.OpsURL(), c.tokenCommand(config))); err != nil {
		log.Warn("cannot print to stdout", "err", err)
	}
	return n.Run(ctx)
}

// tokenCommand is the command line that makes tokens which this node accepts.
func (c *ServeCmd) tokenCommand(config node.Config) string {
	command := os.Args[0] + " token create"
	if c.Config != "" {
		command += " --config " + c.Config
	}
	if dir, ok := c.given()["data.dir"]; ok {
		command += " --data.dir " + dir
	}
	if _, ok := c.given()["auth.keys"]; ok {
		command += " --auth.keys \"…\""
	}
	return command
}

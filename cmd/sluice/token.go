package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/node"
)

// TokenCmd groups what can be done with tokens.
type TokenCmd struct {
	Create TokenCreateCmd `cmd:"" help:"Print a token for one stream, signed with the node's API key."`
}

func newTokenCmd() TokenCmd {
	return TokenCmd{Create: TokenCreateCmd{configFlags: newConfigFlags("data.dir", "auth.keys")}}
}

// TokenCreateCmd prints a bearer token.
type TokenCreateCmd struct {
	configFlags
	Stream   string        `required:"" placeholder:"NAME" help:"Stream that the token is for."`
	Publish  bool          `help:"May publish."`
	Watch    bool          `help:"May watch."`
	Moderate bool          `help:"May moderate, and see the stream's viewers."`
	Identity string        `placeholder:"ID" help:"Stable id of the holder."`
	Name     string        `placeholder:"TEXT" help:"Display name of the holder."`
	Tier     int           `default:"0" help:"Tier of what is published with it, 0 to 9: the lowest gives way first when nodes are overloaded."`
	TTL      time.Duration `default:"2h" help:"How long the token is valid."`
}

// Help is the long help of the command.
func (TokenCreateCmd) Help() string {
	return `The command reads the same configuration and data directory as "sluice serve" and needs no running
node. Without auth.keys the key in the data directory signs; if there is none yet, it is made.`
}

// Run implements the command.
func (c *TokenCreateCmd) Run(out io.Writer) error {
	if !c.Publish && !c.Watch && !c.Moderate {
		return usageError{errors.New("give at least one of --publish, --watch, --moderate")}
	}
	if err := sluice.CheckStreamName(c.Stream); err != nil {
		return usageError{fmt.Errorf("--stream: %w", err)}
	}
	config, err := c.load()
	if err != nil {
		return err
	}
	config.Auth.Mode = node.AuthToken // a token is wanted, so a key is
	keys, err := node.APIKeys(config)
	if err != nil {
		return err
	}
	key := slices.Sorted(maps.Keys(keys))[0]
	grant := sluice.Grant{
		Identity: c.Identity, Name: c.Name, Stream: c.Stream,
		Publish: c.Publish, Watch: c.Watch, Moderate: c.Moderate, Chat: true, Tier: c.Tier,
	}
	token, err := auth.Mint(key, string(keys[key]), grant, c.TTL)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, token)
	return err
}

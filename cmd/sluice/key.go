package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/sluice-live/sluice"
)

const keysPath = "/api/v1/keys"

// KeyCmd groups what can be done with stream keys.
type KeyCmd struct {
	Create KeyCreateCmd `cmd:"" help:"Print a new key that lets encoders publish one stream until it is revoked."`
	List   KeyListCmd   `cmd:"" help:"List stream keys."`
	Revoke KeyRevokeCmd `cmd:"" help:"Revoke stream keys."`
}

func newKeyCmd() KeyCmd {
	asked := func() operatorFlags { return operatorFlags{configFlags: newConfigFlags("data.dir", "auth.keys")} }
	return KeyCmd{
		Create: KeyCreateCmd{operatorFlags: asked()}, List: KeyListCmd{operatorFlags: asked()}, Revoke: KeyRevokeCmd{operatorFlags: asked()},
	}
}

const keyHelp = `The command asks a running node: keys are in its database, which is that of all nodes with the same
database.url. It is allowed to by --token, or by a token that it makes with the API key of the configuration
and data directory, as those of "sluice serve".`

// KeyCreateCmd makes a key.
type KeyCreateCmd struct {
	operatorFlags
	Stream string `required:"" placeholder:"NAME" help:"Stream that the key is for."`
	Name   string `placeholder:"TEXT" help:"What the list of keys shows, such as where it is used."`
	JSON   bool   `name:"json" help:"Print the answer of the API: the key, its id and what is known of it."`
}

// Help is the long help of the command.
func (KeyCreateCmd) Help() string {
	return `The key is printed this once: what is kept is a hash of it. It is the bearer token for encoders, such as
OBS with http://host:8080/whip as the server. It grants nothing but publishing the stream.

` + keyHelp
}

// Run implements the command.
func (c *KeyCreateCmd) Run(ctx context.Context, out io.Writer) error {
	if err := sluice.CheckStreamName(c.Stream); err != nil {
		return usageError{fmt.Errorf("--stream: %w", err)}
	}
	var made struct {
		sluice.StreamKey
		Key string `json:"key"`
	}
	if err := c.call(ctx, http.MethodPost, keysPath, map[string]string{"stream": c.Stream, "name": c.Name}, &made); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, made)
	}
	_, err := fmt.Fprintln(out, made.Key)
	return err
}

// KeyListCmd prints a table of keys.
type KeyListCmd struct {
	operatorFlags
	Stream string `placeholder:"NAME" help:"Only keys of this stream."`
	JSON   bool   `name:"json" help:"Print a JSON array."`
}

// Help is the long help of the command.
func (KeyListCmd) Help() string { return keyHelp }

// Run implements the command.
func (c *KeyListCmd) Run(ctx context.Context, out io.Writer) error {
	keys, err := c.keys(ctx, c.Stream)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, keys)
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSTREAM\tNAME\tCREATED\tLAST USED")
	for _, k := range keys {
		used := "never"
		if !k.Used.IsZero() {
			used = k.Used.Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", k.ID, k.Stream, k.Name, k.Created.Format(time.RFC3339), used)
	}
	return table.Flush()
}

func (f *operatorFlags) keys(ctx context.Context, stream string) ([]sluice.StreamKey, error) {
	query := url.Values{"limit": {"1000"}}
	if stream != "" {
		if err := sluice.CheckStreamName(stream); err != nil {
			return nil, usageError{fmt.Errorf("--stream: %w", err)}
		}
		query.Set("stream", stream)
	}
	return listOf[sluice.StreamKey](ctx, f, keysPath, query)
}

// KeyRevokeCmd revokes keys.
type KeyRevokeCmd struct {
	operatorFlags
	ID     []string `arg:"" optional:"" help:"Ids of keys, as the list shows them."`
	Stream string   `placeholder:"NAME" help:"Stream that the keys are for."`
	All    bool     `help:"Revoke all keys of --stream."`
}

// Help is the long help of the command.
func (KeyRevokeCmd) Help() string {
	return `A key that is revoked lets nobody begin to publish, on the node that is asked at once and on others within 2 s.
Who publishes with it goes on.

` + keyHelp
}

// Run implements the command.
func (c *KeyRevokeCmd) Run(ctx context.Context, out io.Writer) error {
	switch {
	case c.All == (len(c.ID) > 0):
		return usageError{errors.New("give ids of keys, or --stream with --all")}
	case c.All && c.Stream == "":
		return usageError{errors.New("--all wants --stream")}
	}
	ids := c.ID
	if c.Stream != "" {
		keys, err := c.keys(ctx, c.Stream)
		if err != nil {
			return err
		}
		if ids, err = chosen(c.Stream, keys, c.ID); err != nil {
			return err
		}
	}
	for _, id := range ids {
		if err := c.call(ctx, http.MethodDelete, keysPath+"/"+url.PathEscape(id), nil, nil); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		fmt.Fprintf(out, "%s is revoked\n", id)
	}
	return nil
}

// chosen returns ids, which have to be among a stream's keys, or those of all when
// there are none.
func chosen(stream string, keys []sluice.StreamKey, ids []string) ([]string, error) {
	known := map[string]bool{}
	var all []string
	for _, k := range keys {
		known[k.ID] = true
		all = append(all, k.ID)
	}
	for _, id := range ids {
		if !known[id] {
			return nil, fmt.Errorf("the stream %s has no key %s", stream, id)
		}
	}
	if len(ids) == 0 {
		return all, nil
	}
	return ids, nil
}

func printJSON(out io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", text)
	return err
}

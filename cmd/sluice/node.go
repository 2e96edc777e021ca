package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/node"
)

// operatorTTL is how long the token lasts that a command makes for itself.
const operatorTTL = time.Minute

// NodeCmd groups what can be done with nodes.
type NodeCmd struct {
	List    NodeListCmd    `cmd:"" help:"List the nodes of the cluster."`
	Drain   NodeDrainCmd   `cmd:"" help:"Make a node give up what it has, and take nothing new."`
	Undrain NodeUndrainCmd `cmd:"" help:"Make a node take new sessions again."`
}

func newNodeCmd() NodeCmd {
	asked := func() operatorFlags { return operatorFlags{configFlags: newConfigFlags("data.dir", "auth.keys")} }
	return NodeCmd{List: NodeListCmd{asked()}, Drain: NodeDrainCmd{operatorFlags: asked()}, Undrain: NodeUndrainCmd{operatorFlags: asked()}}
}

// operatorFlags say which node is asked, and by whom.
type operatorFlags struct {
	configFlags
	URL   string `default:"http://127.0.0.1:8080" help:"Any node of the cluster."`
	Token string `env:"SLUICE_TOKEN" help:"Token that moderates all streams; without it, one is made with the API key of the configuration."`
}

// bearer is the token to use, "" when there is no key to make one with.
func (f *operatorFlags) bearer() (string, error) {
	if f.Token != "" {
		return f.Token, nil
	}
	config, err := f.load()
	if err != nil {
		return "", err
	}
	keys, err := node.APIKeys(config)
	if err != nil || len(keys) == 0 {
		return "", err
	}
	key := slices.Sorted(maps.Keys(keys))[0]
	return auth.Mint(key, string(keys[key]), sluice.Grant{Identity: "operator", Moderate: true}, operatorTTL)
}

// call asks the API and decodes its answer into out, which is nil where there is none.
func (f *operatorFlags) call(ctx context.Context, method, path string, body, out any) error {
	base, err := url.Parse(f.URL)
	if err != nil || base.Host == "" {
		return usageError{fmt.Errorf("--url: %q is not a URL", f.URL)}
	}
	bearer, err := f.bearer()
	if err != nil {
		return err
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(f.URL, "/")+path, bytes.NewReader(raw))
	if err != nil {
		return usageError{fmt.Errorf("--url: %w", err)}
	}
	req.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		var p struct{ Title, Detail string }
		_ = json.Unmarshal(text, &p) // the status says enough
		return fmt.Errorf("the node answered %s: %s", res.Status, strings.TrimSpace(p.Title+" "+p.Detail))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// listOf asks for all pages of a list; path has no cursor.
func listOf[T any](ctx context.Context, f *operatorFlags, path string, query url.Values) ([]T, error) {
	items := []T{}
	for {
		var page struct {
			Items      []T    `json:"items"`
			NextCursor string `json:"nextCursor"`
		}
		if err := f.call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		items = append(items, page.Items...)
		if page.NextCursor == "" {
			return items, nil
		}
		query.Set("cursor", page.NextCursor)
	}
}

// NodeListCmd prints a table of nodes.
type NodeListCmd struct{ operatorFlags }

// Run implements the command.
func (c *NodeListCmd) Run(ctx context.Context, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tREGION\tSTATE\tOVERLOAD\tCPU\tMBIT/S\tSTREAMS\tVIEWERS\tRELAYS\tVERSION\tURL")
	nodes, err := listOf[sluice.Node](ctx, &c.operatorFlags, "/api/v1/nodes", url.Values{"limit": {"1000"}})
	if err != nil {
		return err
	}
	for _, n := range nodes {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%.0f %%\t%.1f\t%d\t%d\t%d\t%s\t%s\n", n.ID, n.Region, n.State, n.Step,
			100*n.Load.CPU, n.Load.Mbps, n.Load.Streams, n.Load.Viewers, n.Load.Relays, n.Version, n.URL)
	}
	return table.Flush()
}

// NodeDrainCmd drains a node.
type NodeDrainCmd struct {
	operatorFlags
	Node    string        `arg:"" help:"Id of the node."`
	Timeout time.Duration `placeholder:"TIME" help:"Time to drain in. Default: drain.timeout of the node."`
	Wait    bool          `help:"Wait until nobody is left on the node."`
}

// Run implements the command.
func (c *NodeDrainCmd) Run(ctx context.Context, out io.Writer) error {
	var answer struct{ Node, State string }
	asked := map[string]float64{"timeoutSeconds": c.Timeout.Seconds()}
	if err := c.call(ctx, http.MethodPost, "/api/v1/nodes/"+url.PathEscape(c.Node)+"/drain", asked, &answer); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is %s\n", answer.Node, answer.State)
	if !c.Wait {
		return nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var n sluice.Node
		if err := c.call(ctx, http.MethodGet, "/api/v1/nodes/"+url.PathEscape(c.Node), nil, &n); err != nil {
			return err
		}
		if n.State == sluice.NodeDraining && n.Load.Viewers == 0 && n.Load.Publishers == 0 {
			fmt.Fprintf(out, "%s is empty\n", n.ID)
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("interrupted; the node goes on draining")
		}
	}
}

// NodeUndrainCmd takes draining back.
type NodeUndrainCmd struct {
	operatorFlags
	Node string `arg:"" help:"Id of the node."`
}

// Run implements the command.
func (c *NodeUndrainCmd) Run(ctx context.Context, out io.Writer) error {
	var answer struct{ Node, State string }
	if err := c.call(ctx, http.MethodPost, "/api/v1/nodes/"+url.PathEscape(c.Node)+"/undrain", nil, &answer); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is %s\n", answer.Node, answer.State)
	return nil
}

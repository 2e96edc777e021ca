package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v3"
)

// Sources is where a configuration comes from, the strongest last: defaults,
// File, Environ, Flags.
type Sources struct {
	File    string            // path of a YAML file; "": none
	Environ []string          // "NAME=value", as os.Environ returns
	Flags   map[string]string // by key name, only those given
}

// Load merges the sources and checks the result. A key that is not in Keys is
// an error that names the nearest one. An auth.mode of auto is resolved.
func Load(s Sources) (Config, error) {
	k := koanf.New(".")
	layers := []func() (map[string]any, error){
		func() (map[string]any, error) { return defaults(), nil },
		func() (map[string]any, error) { return fromFile(s.File) },
		func() (map[string]any, error) { return fromEnviron(s.Environ) },
		func() (map[string]any, error) { return fromFlags(s.Flags) },
	}
	for _, layer := range layers {
		values, err := layer()
		if err != nil {
			return Config{}, err
		}
		if err := k.Load(confmap.Provider(values, "."), nil); err != nil {
			return Config{}, fmt.Errorf("merge configuration: %w", err)
		}
	}
	var c Config
	err := k.UnmarshalWithConf("", &c, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		DecodeHook:       decodeHooks(),
		WeaklyTypedInput: true,
		ErrorUnused:      true,
	}})
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	c.Auth.Mode = c.authMode()
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}

func defaults() map[string]any {
	values := map[string]any{}
	for _, k := range Keys() {
		if k.Default != "" {
			values[k.Name] = k.Default
		}
	}
	return values
}

func fromEnviron(environ []string) (map[string]any, error) {
	names := map[string]string{}
	var known []string
	for _, k := range Keys() {
		names[k.Env] = k.Name
		known = append(known, k.Env)
	}
	values := map[string]any{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, EnvPrefix) || ofService(name) {
			continue
		}
		key, ok := names[name]
		if !ok {
			return nil, fmt.Errorf("environment: unknown variable %s, did you mean %s?", name, nearest(name, known))
		}
		values[key] = value
	}
	return values, nil
}

// ofService reports whether a variable is one of those that Kubernetes sets for
// a Service named sluice.
func ofService(name string) bool {
	rest := strings.TrimPrefix(name, EnvPrefix)
	return rest == "PORT" || strings.HasPrefix(rest, "PORT_") || strings.HasPrefix(rest, "SERVICE_")
}

func fromFlags(flags map[string]string) (map[string]any, error) {
	known := keyNames()
	values := map[string]any{}
	for name, value := range flags {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("unknown flag --%s, did you mean --%s?", name, nearest(name, known))
		}
		values[name] = value
	}
	return values, nil
}

func fromFile(path string) (map[string]any, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer file.Close()
	values, err := fromYAML(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return values, nil
}

// fromYAML returns the settings of one YAML document by key name.
func fromYAML(r io.Reader) (map[string]any, error) {
	decoder := yaml.NewDecoder(r)
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("only one YAML document is read, this file has more")
	}
	values := map[string]any{}
	if err := collect(document.Content[0], "", keyNames(), values); err != nil {
		return nil, err
	}
	return values, nil
}

// collect adds the settings below node, whose path is prefix, to values. A
// setting or section without a value counts as absent.
func collect(node *yaml.Node, prefix string, known []string, values map[string]any) error {
	if node.Tag == "!!null" {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: %s holds settings, not a value", node.Line, section(prefix))
	}
	seen := map[string]bool{}
	for i := 0; i < len(node.Content); i += 2 {
		name, value := prefix+node.Content[i].Value, node.Content[i+1]
		line := node.Content[i].Line
		if seen[name] {
			return fmt.Errorf("line %d: %s is set twice", line, name)
		}
		seen[name] = true
		switch {
		case slices.Contains(known, name):
			if value.Tag == "!!null" {
				continue
			}
			var decoded any
			if err := value.Decode(&decoded); err != nil {
				return fmt.Errorf("line %d: %s: %w", line, name, err)
			}
			values[name] = decoded
		case slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, name+".") }):
			if err := collect(value, name+".", known, values); err != nil {
				return err
			}
		default:
			return fmt.Errorf("line %d: unknown key %s, did you mean %s?", line, name, nearest(name, known))
		}
	}
	return nil
}

func section(prefix string) string {
	if prefix == "" {
		return "the file"
	}
	return strings.TrimSuffix(prefix, ".")
}

func keyNames() []string {
	var names []string
	for _, k := range Keys() {
		names = append(names, k.Name)
	}
	return names
}

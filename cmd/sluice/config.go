package main

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/sluice-live/sluice/internal/node"
)

// configFlags are --config and one flag for each configuration key, made from
// the key table.
type configFlags struct {
	Config string       `short:"c" type:"path" placeholder:"FILE" help:"YAML file; flags and SLUICE_ variables win over it."`
	Keys   kong.Plugins `embed:""`
}

// newConfigFlags offers flags for the keys that begin with one of the
// prefixes, or for all of them.
func newConfigFlags(prefixes ...string) configFlags {
	var fields []reflect.StructField
	for i, key := range node.Keys() {
		if len(prefixes) > 0 && !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key.Name, p) }) {
			continue
		}
		kind, placeholder := reflect.TypeFor[*string](), key.Default
		if key.Bool {
			kind = reflect.TypeFor[*bool]()
		}
		if placeholder == "" {
			placeholder = "VALUE"
		}
		tag := fmt.Sprintf("name:%s help:%s placeholder:%s",
			strconv.Quote(key.Name), strconv.Quote(helpOf(key)), strconv.Quote(placeholder))
		if key.Alias != "" {
			tag += " aliases:" + strconv.Quote(key.Alias)
		}
		fields = append(fields, reflect.StructField{
			Name: "Key" + strconv.Itoa(i),
			Type: kind,
			Tag:  reflect.StructTag(tag),
		})
	}
	return configFlags{Keys: kong.Plugins{reflect.New(reflect.StructOf(fields)).Interface()}}
}

func helpOf(key node.Key) string {
	help := strings.ToUpper(key.Help[:1]) + key.Help[1:] + "."
	if key.Bool {
		help += " Default: " + key.Default + "."
	}
	return help
}

// load merges the flags that were given with the other sources.
func (f *configFlags) load() (node.Config, error) {
	c, err := node.Load(node.Sources{File: f.Config, Environ: nodeEnviron(os.Environ()), Flags: f.given()})
	if err != nil {
		return node.Config{}, usageError{err}
	}
	return c, nil
}

func (f *configFlags) given() map[string]string {
	given := map[string]string{}
	for _, plugin := range f.Keys {
		v := reflect.ValueOf(plugin).Elem()
		for i := range v.NumField() {
			if v.Field(i).IsNil() {
				continue
			}
			given[v.Type().Field(i).Tag.Get("name")] = fmt.Sprint(v.Field(i).Elem().Interface())
		}
	}
	return given
}

// nodeEnviron leaves out the variable that is for publish and watch.
func nodeEnviron(environ []string) []string {
	return slices.DeleteFunc(environ, func(entry string) bool { return strings.HasPrefix(entry, "SLUICE_TOKEN=") })
}

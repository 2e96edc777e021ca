package node

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// YAML returns the configuration in the form that Load reads, in the order of
// Keys, with secrets masked.
func (c Config) YAML() ([]byte, error) {
	node, err := yamlNode(reflect.ValueOf(c))
	if err != nil {
		return nil, err
	}
	return yaml.Marshal(node)
}

func yamlNode(v reflect.Value) (*yaml.Node, error) {
	node := &yaml.Node{}
	if v.Kind() != reflect.Struct {
		if err := node.Encode(v.Interface()); err != nil {
			return nil, fmt.Errorf("encode %s: %w", v.Type(), err)
		}
		return node, nil
	}
	node.Kind = yaml.MappingNode
	for field, value := range v.Fields() {
		below, err := yamlNode(value)
		if err != nil {
			return nil, err
		}
		name := &yaml.Node{Kind: yaml.ScalarNode, Value: field.Tag.Get("koanf")}
		node.Content = append(node.Content, name, below)
	}
	return node, nil
}

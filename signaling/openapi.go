package signaling

import (
	"encoding/json"
	"fmt"
)

// fragment is what OpenAPI documents that are joined have in common.
type fragment struct {
	Paths      map[string]json.RawMessage            `json:"paths"`
	Components map[string]map[string]json.RawMessage `json:"components"`
}

// joinDocuments adds the paths and components of others to an OpenAPI document.
// What is in two of them is an error.
func joinDocuments(document []byte, others [][]byte) ([]byte, error) {
	if len(others) == 0 {
		return document, nil
	}
	var all map[string]json.RawMessage
	var own fragment
	if err := unmarshalBoth(document, &all, &own); err != nil {
		return nil, err
	}
	for _, other := range others {
		var more fragment
		if err := json.Unmarshal(other, &more); err != nil {
			return nil, err
		}
		if err := add(own.Paths, more.Paths); err != nil {
			return nil, err
		}
		for kind, things := range more.Components {
			if own.Components[kind] == nil {
				own.Components[kind] = map[string]json.RawMessage{}
			}
			if err := add(own.Components[kind], things); err != nil {
				return nil, err
			}
		}
	}
	var err error
	if all["paths"], err = json.Marshal(own.Paths); err != nil {
		return nil, err
	}
	if all["components"], err = json.Marshal(own.Components); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

func unmarshalBoth(document []byte, all *map[string]json.RawMessage, own *fragment) error {
	if err := json.Unmarshal(document, all); err != nil {
		return err
	}
	return json.Unmarshal(document, own)
}

func add(to, from map[string]json.RawMessage) error {
	for name, thing := range from {
		if _, twice := to[name]; twice {
			return fmt.Errorf("%q is there twice", name)
		}
		to[name] = thing
	}
	return nil
}

// Package node builds one running node from the parts of the other packages.
//
// It owns the configuration with its table of keys, the generated secrets, the
// listeners, the HTTP middlewares, the adapters that glue packages together,
// and the order in which a node stops. It is the only package that knows all
// features, and holds no feature's logic itself. cmd/sluice and tests make a
// Node with New; Run serves and closes it.
package node

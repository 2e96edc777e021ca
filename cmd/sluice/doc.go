// Command sluice is the server and its tools: serve, token, key, node, publish, watch, load
// and version. It owns flags, signals and exit codes; what a command does lives
// in internal/node, internal/client and internal/load.
package main

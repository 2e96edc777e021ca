// Command sluice is the server and its tools: serve, token, publish, watch and
// version. It owns flags, signals and exit codes; what a command does lives in
// internal/node and internal/client.
package main

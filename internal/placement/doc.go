// Package placement decides which node takes a publisher or a viewer.
//
// It is functions of node records without state: internal/node gives them the
// records and acts on the answer. It must not know Redis, HTTP or media.
package placement

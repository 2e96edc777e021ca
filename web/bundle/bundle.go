package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// entries are the modules and style sheets that keep their own name in dist,
// because pages and other people's pages name them.
func entries(src string) []api.EntryPoint {
	modules := []api.EntryPoint{ // their order decides the chunks
		{InputPath: "pages/home.js", OutputPath: "home"},
		{InputPath: "pages/publish.js", OutputPath: "publish"},
		{InputPath: "pages/watch.js", OutputPath: "watch"},
		{InputPath: "pages/embed.js", OutputPath: "embed"},
		{InputPath: "player/element.js", OutputPath: "player"},
		{InputPath: "pages/cluster.js", OutputPath: "cluster"},
		{InputPath: "whip.js", OutputPath: "whip"},
		{InputPath: "whep.js", OutputPath: "whep"},
	}
	var points []api.EntryPoint
	for _, m := range modules {
		points = append(points, api.EntryPoint{InputPath: filepath.Join(src, m.InputPath), OutputPath: m.OutputPath})
	}
	for _, name := range []string{"home", "publish", "watch", "cluster"} {
		points = append(points, api.EntryPoint{InputPath: filepath.Join(src, "css", name+".css"), OutputPath: name})
	}
	return points
}

// copied are the files that need no work.
func copied() []string {
	return []string{
		"pages/home.html", "pages/publish.html", "pages/watch.html", "pages/embed.html", "pages/cluster.html", "pages/error.html", "icon.svg",
	}
}

// Bundle makes every file of dist from the sources, in memory. Keys are base
// names. The same sources give the same bytes.
func Bundle(src string) (map[string][]byte, error) {
	src, err := filepath.Abs(src)
	if err != nil {
		return nil, fmt.Errorf("source folder: %w", err)
	}
	result := api.Build(api.BuildOptions{
		AbsWorkingDir:       src,
		EntryPointsAdvanced: entries(src),
		Outdir:              filepath.Join(src, "dist"), // never written
		Bundle:              true,
		Splitting:           true,
		Format:              api.FormatESModule,
		Target:              api.ES2022,
		ChunkNames:          "chunk-[hash]",
		MinifyWhitespace:    true,
		MinifyIdentifiers:   true,
		MinifySyntax:        true,
		Charset:             api.CharsetUTF8,
		LegalComments:       api.LegalCommentsNone,
		Plugins:             []api.Plugin{styleText(src)},
	})
	if len(result.Errors) > 0 {
		return nil, errors.New(strings.Join(api.FormatMessages(result.Errors, api.FormatMessagesOptions{}), ""))
	}
	files := map[string][]byte{}
	for _, f := range result.OutputFiles {
		files[filepath.Base(f.Path)] = f.Contents
	}
	for _, name := range copied() {
		body, err := os.ReadFile(filepath.Join(src, name))
		if err != nil {
			return nil, fmt.Errorf("copy: %w", err)
		}
		files[filepath.Base(name)] = body
	}
	return files, nil
}

// styleText lets a module import a style sheet as minified text, for shadow
// roots.
func styleText(src string) api.Plugin {
	return api.Plugin{Name: "style-text", Setup: func(build api.PluginBuild) {
		build.OnResolve(api.OnResolveOptions{Filter: `\.css$`}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
			if args.Kind != api.ResolveJSImportStatement {
				return api.OnResolveResult{}, nil
			}
			// Relative, since the hash of a chunk covers it and folders differ.
			path, err := filepath.Rel(src, filepath.Join(args.ResolveDir, args.Path))
			return api.OnResolveResult{Path: filepath.ToSlash(path), Namespace: "style-text"}, err
		})
		build.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: "style-text"}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
			body, err := os.ReadFile(filepath.Join(src, args.Path))
			if err != nil {
				return api.OnLoadResult{}, err
			}
			min := api.Transform(string(body), api.TransformOptions{Loader: api.LoaderCSS, MinifyWhitespace: true, MinifySyntax: true})
			if len(min.Errors) > 0 {
				return api.OnLoadResult{Errors: min.Errors}, nil
			}
			text := string(min.Code)
			return api.OnLoadResult{Contents: &text, Loader: api.LoaderText}, nil
		})
	}}
}

// Command sync applies the object that comes in, as it is in Git, to a cluster as a GitOps tool does, and says in one word what it found.
//
//	sync flux [POINTER]           kustomize-controller: created, configured, unchanged or skipped; POINTER is a path of `spec.ignore`
//	sync argocd [JQ]              Argo CD: Synced or OutOfSync, and a sync in either case; JQ is a path of `ignoreDifferences`
//	sync argocd-server-side [JQ]  the same with server-side diff and apply
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

var errUsage = errors.New("usage: sync flux|argocd|argocd-server-side [PATH] < OBJECT")

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	word, err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(word)
}

func run(ctx context.Context, args []string) (string, error) {
	if len(args) < 1 || len(args) > 2 {
		return "", errUsage
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return "", err
	}
	var target unstructured.Unstructured
	if err := yaml.Unmarshal(text, &target.Object); err != nil {
		return "", err
	}
	ignored := ""
	if len(args) == 2 {
		ignored = args[1]
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		return "", err
	}
	cluster, err := client.New(config, client.Options{})
	if err != nil {
		return "", err
	}
	switch args[0] {
	case "flux":
		return flux(ctx, cluster, &target, ignored)
	case "argocd":
		return argocd(ctx, cluster, &target, ignored, false)
	case "argocd-server-side":
		return argocd(ctx, cluster, &target, ignored, true)
	}
	return "", errUsage
}

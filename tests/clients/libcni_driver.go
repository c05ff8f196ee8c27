// SPDX-License-Identifier: Apache-2.0

// libcni_driver VERB CONFLIST CONTAINER NETNS: one call of a network list through libcni, with its cache of results,
// as a runtime makes it. VERB is add, check or del. CNI_PATH says where plugins are.
//
// A plugin's own error goes to stderr as "code: message; details".
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

func call(verb, file, container, netns string) error {
	list, err := libcni.ConfListFromFile(file)
	if err != nil {
		return err
	}
	cni := libcni.NewCNIConfigWithCacheDir(filepath.SplitList(os.Getenv("CNI_PATH")), "/var/lib/cni", nil)
	runtime := &libcni.RuntimeConf{ContainerID: container, NetNS: netns, IfName: "eth0"}
	ctx := context.Background()
	switch verb {
	case "add":
		result, err := cni.AddNetworkList(ctx, list, runtime)
		if err != nil {
			return err
		}
		return result.Print()
	case "check":
		return cni.CheckNetworkList(ctx, list, runtime)
	case "del":
		return cni.DelNetworkList(ctx, list, runtime)
	}
	return fmt.Errorf("no verb %q", verb)
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: libcni_driver add|check|del CONFLIST CONTAINER NETNS")
		os.Exit(2)
	}
	err := call(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if err == nil {
		return
	}
	var said *types.Error
	if errors.As(err, &said) {
		err = fmt.Errorf("%d: %s; %s", said.Code, said.Msg, said.Details)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

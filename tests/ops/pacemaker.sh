#!/bin/sh
# What resource agents ask Pacemaker for, by the name this is called under: attributes of the one
# node, kept as files. Answers are written as Pacemaker 2.1 writes them.
set -eu
kept=/var/lib/pacemaker-attributes
mkdir -p "$kept"
node=$(hostname) name= value= verb=query quiet=no
tool=$(basename "$0")

case $tool in
    crm_node)
        case " $* " in *" -n "*) echo "$node" ;; *) echo "$node" ;; esac
        exit ;;
    crm_mon)
        echo "<pacemaker-result><nodes><node name=\"$node\" online=\"true\" standby=\"false\"/></nodes></pacemaker-result>"
        exit ;;
    xmllint) echo " name=\"$node\""; exit ;;
    cibadmin)  # attributes of the nodes that run, by the name in the XPath expression
        found=${*##*@name=\'}
        found=${found%%\'*}
        found=$found@$node
        [ -f "$kept/$found" ] || exit 105
        echo "<nvpair id=\"status-1-$found\" name=\"$found\" value=\"$(cat "$kept/$found")\"/>"
        exit ;;
    crm_master) name=master-${OCF_RESOURCE_INSTANCE%%:*} ;;
esac

while [ $# -gt 0 ]; do
    case $1 in
        --name | -n) name=$2; shift ;;
        -v | --update) verb=update value=$2; shift ;;
        -D | --delete) verb=delete ;;
        -G | --query) verb=query ;;
        -q) quiet=yes ;;
        -N | --node) node=$2; shift ;;
        -l) shift ;;
        -p) ;;
    esac
    shift
done
name=$name@$node
case $verb in
    update) printf %s "$value" >"$kept/$name" ;;
    delete) rm -f "$kept/$name" ;;
    query)
        [ -f "$kept/$name" ] || exit 105
        value=$(cat "$kept/$name")
        if [ $quiet = yes ]; then echo "$value"
        elif [ "$tool" = attrd_updater ]; then echo "name=\"${name%@*}\" host=\"$node\" value=\"$value\""
        else echo "scope=status  name=${name%@*} value=$value"; fi ;;
esac

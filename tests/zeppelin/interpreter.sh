#!/bin/sh
# Zeppelin calls this for each interpreter process, as it would call its own bin/interpreter.sh.
while getopts "d:c:p:r:i:u:l:g:" option; do
    case "$option" in
        d) folder=$OPTARG ;;
        c) host=$OPTARG ;;
        p) port=$OPTARG ;;
        r) ports=$OPTARG ;;
        i) group=$OPTARG ;;
        g) setting=$OPTARG ;;
        *) ;;
    esac
done
# In place of the shell, so that Zeppelin ends Java itself.
exec "$JAVA_HOME/bin/java" \
    -Dfile.encoding=UTF-8 \
    -Djava.io.tmpdir="$TMPDIR" \
    -Dlog4j.configuration="file://$(dirname "$0")/log4j.properties" \
    -Dzeppelin.log.file="$ZEPPELIN_LOG_DIR/interpreter-$setting.log" \
    -cp "$folder/*:$(echo "$ZEPPELIN_HOME"/interpreter/zeppelin-interpreter-shaded-*.jar)" \
    org.apache.zeppelin.interpreter.remote.RemoteInterpreterServer "$host" "$port" "$group" "$ports"

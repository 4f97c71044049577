"""Prints SAM's expansion of a template of this repository with these parameters, as JSON: expand.py TEMPLATE NAME=VALUE…

It is AWS's own transform (aws-sam-translator). `sam validate` gives it no parameters.
"""

import json
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoPolicies:
    """The managed policies of AWS, which no template here names."""

    def load(self):
        return {}


with open(sys.argv[1], encoding="utf-8") as file:
    template = yaml_parse(file.read())
for resource in template["Resources"].values():
    # `sam package` puts in their place where it has uploaded them.
    if resource["Type"] == "AWS::Serverless::Function":
        resource["Properties"]["CodeUri"] = "s3://bucket/code"
    if resource["Type"] == "AWS::Serverless::Application":
        resource["Properties"]["Location"] = "https://s3.amazonaws.com/bucket/template"
given = dict(argument.split("=", 1) for argument in sys.argv[2:])
json.dump(transform(template, given, NoPolicies()), sys.stdout)

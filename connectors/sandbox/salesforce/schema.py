"""The objects and fields of the fake org, and how `describe` tells of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.sandbox.salesforce.ids import PREFIXES
from connectors.sandbox.world import World

# Field types whose cells are numbers or booleans on the wire; every other cell is a quoted string.
RAW_TYPES = frozenset({"double", "currency", "percent", "int", "boolean"})
COMPOUND_TYPES = frozenset({"address", "location"})
_SOAP = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "address": "urn:address",
    "location": "urn:location",
    "anyType": "xsd:anyType",
}
_LENGTHS = {"id": 18, "reference": 18, "string": 255, "picklist": 255, "textarea": 32000, "multipicklist": 4099}


@dataclass(frozen=True, slots=True)
class Field:
    """One column of an object."""

    name: str
    type: str
    label: str
    refers: tuple[str, ...] = ()
    relationship: str | None = None
    nillable: bool = True
    calculated: bool = False
    compound: str | None = None
    picklist: Callable[[], list[dict[str, Any]]] | None = None

    @property
    def custom(self) -> bool:
        """Added by the company."""
        return self.name.endswith("__c")

    @property
    def filterable(self) -> bool:
        """May stand in WHERE."""
        return self.type not in COMPOUND_TYPES | {"anyType"} and not (self.type == "textarea" and self.custom)

    def describe(self) -> dict[str, Any]:
        """What a describe answer says of it."""
        number = self.type in ("double", "currency", "percent")
        plain = self.filterable and self.type != "multipicklist"
        return {
            "aggregatable": plain and self.type != "boolean",
            "autoNumber": False,
            "byteLength": _LENGTHS.get(self.type, 0) * 3,
            "calculated": self.calculated,
            "calculatedFormula": None,
            "compoundFieldName": self.compound,
            "createable": not self.calculated,
            "custom": self.custom,
            "defaultValue": None,
            "defaultedOnCreate": False,
            "deprecatedAndHidden": False,
            "digits": 9 if self.type == "int" else 0,
            "filterable": self.filterable,
            "groupable": plain and not number and self.type != "datetime",
            "idLookup": self.type == "id",
            "label": self.label,
            "length": _LENGTHS.get(self.type, 0),
            "name": self.name,
            "nillable": self.nillable,
            "permissionable": self.nillable,
            "picklistValues": self.picklist() if self.picklist else [],
            "precision": 18 if number else 0,
            "referenceTo": list(self.refers),
            "relationshipName": self.relationship,
            "restrictedPicklist": False,
            "scale": 2 if number else 0,
            "soapType": _SOAP.get(self.type, "xsd:string"),
            "sortable": plain,
            "type": self.type,
            "unique": False,
            "updateable": not self.calculated and self.nillable,
        }


@dataclass(slots=True)
class SObject:
    """One object: its fields in order, and where each stands in a row."""

    name: str
    label: str
    plural: str
    fields: dict[str, Field]
    queryable: bool = True
    replicateable: bool = True
    deletable: bool = True
    place: dict[str, int] = field(init=False)
    folded: dict[str, str] = field(init=False)  # lower-case name -> name
    relations: dict[str, Field] = field(init=False)  # lower-case relationship -> its field

    def __post_init__(self) -> None:
        self.place = {name: number for number, name in enumerate(self.fields)}
        self.folded = {name.lower(): name for name in self.fields}
        self.relations = {f.relationship.lower(): f for f in self.fields.values() if f.relationship is not None}

    def describe_global(self, base: str) -> dict[str, Any]:
        """Its entry in the list of objects."""
        url = f"{base}/sobjects/{self.name}"
        return {
            "activateable": False,
            "createable": self.deletable,
            "custom": False,
            "deletable": self.deletable,
            "keyPrefix": PREFIXES.get(self.name),
            "label": self.label,
            "labelPlural": self.plural,
            "name": self.name,
            "queryable": self.queryable,
            "replicateable": self.replicateable,
            "retrieveable": True,
            "searchable": self.deletable,
            "undeletable": self.deletable,
            "updateable": self.deletable,
            "urls": {"sobject": url, "describe": f"{url}/describe", "rowTemplate": url + "/{ID}"},
        }


def _fields(text: str) -> list[Field]:
    """`Name:type[:Label][>Object/Relationship][!]` per word, `_` for a blank in labels; `!` = never null."""
    found = []
    for word in text.split():
        required = word.endswith("!")
        body, _, target = word.rstrip("!").partition(">")
        name, kind, *label = body.split(":")
        refers, _, relationship = target.partition("/")
        found.append(
            Field(
                name,
                kind,
                label[0].replace("_", " ") if label else _label(name),
                refers=(refers,) if refers else (),
                relationship=relationship or None,
                nillable=not required,
            )
        )
    return found


def _label(name: str) -> str:
    if name == "Id":
        return "Record ID"
    words = "".join(f" {c}" if c.isupper() and i else c for i, c in enumerate(name.removesuffix("Id"))).strip()
    return words + (" ID" if name.endswith("Id") else "")


_AUDIT = """CreatedDate:datetime! CreatedById:reference>User/CreatedBy! LastModifiedDate:datetime!
  LastModifiedById:reference>User/LastModifiedBy! SystemModstamp:datetime!"""
_LABELS = {
    "Account": ("Account", "Accounts"),
    "BusinessProcess": ("Business Process", "Business Processes"),
    "CurrencyType": ("Currency Type", "Currency Types"),
    "DatedConversionRate": ("Dated Conversion Rate", "Dated Conversion Rates"),
    "Opportunity": ("Opportunity", "Opportunities"),
    "OpportunityFieldHistory": ("Opportunity Field History", "Opportunity Field History"),
    "OpportunityHistory": ("Opportunity: Stage History", "Opportunity: Stage History"),
    "OpportunityStage": ("Opportunity Stage", "Opportunity Stage"),
    "Organization": ("Organization", "Organizations"),
    "RecordType": ("Record Type", "Record Types"),
    "User": ("User", "Users"),
}
_FIELDS = {
    "Account": f"""Id:id! IsDeleted:boolean! MasterRecordId:reference>Account/MasterRecord Name:string! Type:picklist
      BillingCity:string BillingCountry:string BillingAddress:address Industry:picklist OwnerId:reference>User/Owner!
      {_AUDIT}""",
    "BusinessProcess": f"""Id:id! Name:string! NamespacePrefix:string Description:string TableEnumOrId:picklist!
      IsActive:boolean! {_AUDIT}""",
    "CurrencyType": f"""Id:id! IsoCode:picklist! ConversionRate:double! DecimalPlaces:int! IsActive:boolean!
      IsCorporate:boolean! {_AUDIT}""",
    "DatedConversionRate": f"""Id:id! IsoCode:picklist! StartDate:date! NextStartDate:date! ConversionRate:double!
      {_AUDIT}""",
    "Opportunity": f"""Id:id! IsDeleted:boolean! AccountId:reference>Account/Account IsPrivate:boolean! Name:string!
      Description:textarea StageName:picklist:Stage! Amount:currency Probability:percent:Probability_(%)
      ExpectedRevenue:currency CloseDate:date! Type:picklist:Opportunity_Type NextStep:string LeadSource:picklist
      IsClosed:boolean:Closed! IsWon:boolean:Won! ForecastCategory:picklist!
      ForecastCategoryName:picklist:Forecast_Category CampaignId:reference HasOpportunityLineItem:boolean!
      OwnerId:reference>User/Owner! {_AUDIT} LastActivityDate:date FiscalQuarter:int FiscalYear:int
      Fiscal:string:Fiscal_Period LastStageChangeDate:datetime RecordTypeId:reference>RecordType/RecordType""",
    "OpportunityFieldHistory": """Id:id! IsDeleted:boolean! OpportunityId:reference>Opportunity/Opportunity!
      CreatedById:reference>User/CreatedBy! CreatedDate:datetime! DataType:picklist Field:picklist:Changed_Field!
      OldValue:anyType NewValue:anyType""",
    "OpportunityHistory": """Id:id! OpportunityId:reference>Opportunity/Opportunity!
      CreatedById:reference>User/CreatedBy! CreatedDate:datetime! StageName:picklist:Stage! Amount:currency
      ExpectedRevenue:currency CloseDate:date Probability:percent ForecastCategory:picklist PrevAmount:currency
      PrevCloseDate:date SystemModstamp:datetime! IsDeleted:boolean!""",
    "OpportunityStage": f"""Id:id! MasterLabel:string! ApiName:string! IsActive:boolean! SortOrder:int
      IsClosed:boolean! IsWon:boolean! ForecastCategory:picklist! ForecastCategoryName:picklist!
      DefaultProbability:percent Description:string {_AUDIT}""",
    "Organization": f"""Id:id! Name:string! OrganizationType:picklist IsSandbox:boolean! InstanceName:string
      TimeZoneSidKey:picklist! DefaultLocaleSidKey:picklist! LanguageLocaleKey:picklist! FiscalYearStartMonth:int
      {_AUDIT}""",
    "RecordType": f"""Id:id! Name:string! DeveloperName:string! Description:string
      BusinessProcessId:reference>BusinessProcess SobjectType:picklist! IsActive:boolean! {_AUDIT}""",
    "User": f"""Id:id! Username:string! Name:string:Full_Name! Email:email! IsActive:boolean! UserType:picklist
      UserRoleId:reference ManagerId:reference>User/Manager TimeZoneSidKey:picklist! {_AUDIT}""",
}
_READ_ONLY = {
    "BusinessProcess",
    "DatedConversionRate",
    "CurrencyType",
    "OpportunityFieldHistory",
    "OpportunityHistory",
    "OpportunityStage",
    "Organization",
    "RecordType",
}
_CUSTOM_TYPES = {
    "text": "string",
    "longtext": "textarea",
    "number": "double",
    "date": "date",
    "bool": "boolean",
    "choice": "picklist",
    "multichoice": "multipicklist",
}


def custom_name(key: str) -> str:
    """The API name of a custom field: region_detail -> Region_Detail__c."""
    return "_".join(part.capitalize() for part in key.split("_")) + "__c"


def option(label: str, value: str | None = None, *, active: bool = True) -> dict[str, Any]:
    """One picklist value of a describe answer."""
    return {"active": active, "defaultValue": False, "label": label, "validFor": None, "value": value or label}


def build(
    world: World,
    *,
    multi_currency: bool,
    dated_rates: bool,
    field_history: bool,
    extra_fields: int,
    stages: Callable[[], list[dict[str, Any]]],
) -> dict[str, SObject]:
    """All objects of an org by name; `stages` gives the values of the StageName picklist when somebody asks."""
    objects = {}
    for name, text in _FIELDS.items():
        if name == "CurrencyType" and not multi_currency:
            continue
        if name == "DatedConversionRate" and not (multi_currency and dated_rates):
            continue
        if name == "OpportunityFieldHistory" and not field_history:
            continue
        found = _fields(text)
        if multi_currency and name in ("Opportunity", "OpportunityHistory", "Account", "User"):
            found.append(Field("CurrencyIsoCode", "picklist", "Currency", nillable=False))
        if name == "Opportunity":
            found += _custom_fields(world, extra_fields)
        fields = {f.name: f for f in found}
        if "StageName" in fields:
            fields["StageName"] = replace(fields["StageName"], picklist=stages)
        objects[name] = SObject(
            name,
            *_LABELS[name],
            fields,
            replicateable=name not in ("OpportunityFieldHistory", "BusinessProcess"),
            deletable=name not in _READ_ONLY,
        )
    return objects


def _custom_fields(world: World, extra_fields: int) -> list[Field]:
    def reasons() -> list[dict[str, Any]]:
        with world.lock:
            return [option(r) for r in sorted({d.lost_reason for d in world.deals.values() if d.lost_reason})]

    def choices(values: tuple[str, ...]) -> Callable[[], list[dict[str, Any]]]:
        return lambda: [option(v) for v in values]

    found = [Field("Loss_Reason__c", "picklist", "Loss Reason", picklist=reasons)]
    for custom in world.custom_fields.values():
        found.append(
            Field(
                custom_name(custom.key),
                _CUSTOM_TYPES[custom.kind],
                custom.label,
                nillable=custom.kind != "bool",
                picklist=choices(custom.options) if custom.options else None,
            )
        )
    found.append(Field("Weighted__c", "currency", "Weighted Amount", calculated=True))
    found.append(Field("Site__c", "location", "Site"))
    found.append(Field("Site__Latitude__s", "double", "Site (Latitude)", compound="Site__c"))
    found.append(Field("Site__Longitude__s", "double", "Site (Longitude)", compound="Site__c"))
    found += [Field(f"Extra_Field_Number_{n:03d}__c", "string", f"Extra {n}") for n in range(extra_fields)]
    return found
